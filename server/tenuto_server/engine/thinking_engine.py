"""vLLM's engine with thinking budgets: the one place that every request passes, on every endpoint."""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from copy import copy
from itertools import count
from typing import Any

from vllm.outputs import CompletionOutput, RequestOutput
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.v1.engine.async_llm import AsyncLLM

from tenuto_decoding.vllm_requests import ONLY_CLOSES_KEY, REQUEST_KEY, masks_thinking

from ..budgets.request_fields import BUDGET_NAMES, BUDGET_REQUEST, BudgetRequest, PromptSource
from ..budgets.resolution import Generation, ResolvedBudget, ThinkingPolicy
from ..budgets.structured_output import GrammarStart
from ..context import current_request, report_engine_reached
from ..errors import GenerationFailed
from ..metrics import SCRAPED
from ..vllm_compat import (
    EngineDeadError,
    OutputProcessor,
    RequestSpan,
    call_all_engines,
    core_sentinels,
    declare_dead,
    histogram_bounds,
    process_input,
    prompt_token_ids,
    sampling_worker,
    with_model_stops,
)
from .accounting import CountedChoice, CountedReply, hand_over
from .recording import Recorder
from .registry import Origin, RunningReplies, RunningReply, response_of
from .steering import SteeringResult, assign, steer
from .tracing import TracedOutputProcessor, start_tracing
from .worker_calls import Forgetter, ReportReader, answered

logger = logging.getLogger("vllm.tenuto")

Outputs = AsyncGenerator[RequestOutput, None]


class ThinkingEngine(AsyncLLM):
    """`AsyncLLM` that resolves budgets on the way in and counts thinking on the way out."""

    _is_cutting = False  # whether `cut_replies` was called

    def __init__(self, *, policy: ThinkingPolicy, **kwargs: Any) -> None:
        self._policy = policy
        # Under which the workers know requests: one random part for all, since randomness costs a system call.
        self._keys = map(f"{uuid.uuid4().hex}-{{}}".format, count())
        self._running = RunningReplies(Forgetter(self._call).add)
        self._reports = ReportReader(self._call)
        config = kwargs["vllm_config"]
        self._recorder = Recorder(
            config.model_config.served_model_name, histogram_bounds(config), self._running, self._decode
        )
        super().__init__(**kwargs)
        SCRAPED.choices = self._recorder.metrics
        if self._is_traced:
            start_tracing()

    @property
    def policy(self) -> ThinkingPolicy:
        """The server's side of every budget."""
        return self._policy

    @property
    def _is_traced(self) -> bool:
        return self.vllm_config.observability_config.otlp_traces_endpoint is not None

    @property
    def output_processor(self) -> TracedOutputProcessor:
        return self._output_processor

    @output_processor.setter
    def output_processor(self, original: OutputProcessor) -> None:
        """Wrap the processor when vLLM's constructor sets it, before its output handler can hold on to the original."""
        self._output_processor = TracedOutputProcessor(original, self._find_reply)

    @property
    def remaining_thinking_tokens(self) -> int:
        """Thinking tokens that running replies may still generate: the work that is left."""
        return self._recorder.remaining_tokens

    def generate(self, prompt: Any, sampling_params: SamplingParams, request_id: str, **kwargs: Any) -> Outputs:
        """As `AsyncLLM.generate`, but what is wrong with a request is raised here, before anything is generated.

        Raises:
            ThinkingError: for a budget that is wrong or cannot be enforced.
            VLLMValidationError, ValueError: for other parameters and for the prompt.
        """
        request, ids, params, resolved = self._prepare(prompt, sampling_params)
        if resolved is None:
            return self._unaborted(self._started(prompt, params, request_id, kwargs))
        if resolved.grammar_begins is not None:
            kwargs["reasoning_ended"] = resolved.grammar_begins
        key = next(self._keys)
        params = for_workers(params, resolved, key, is_traced=self._is_traced)
        outputs = self._started(prompt, params, request_id, kwargs)
        reply = CountedReply(resolved, ids, params.n)
        hand_over(reply)
        response_id, first = response_of(request_id, current_request().path, params.n)
        origin = self._origin(request, params, len(ids), kwargs.get("lora_request"))
        span = self._span(request_id, params, len(ids), kwargs.get("trace_headers")) if self._is_traced else None
        running = RunningReply(response_id, first, key, reply, origin, span)
        return self._counted(outputs, running, cumulative=params.output_kind is not RequestOutputKind.DELTA)

    def _origin(self, request: BudgetRequest, params: SamplingParams, prompt_tokens: int, adapter: Any) -> Origin:
        room = self.model_config.max_model_len - prompt_tokens
        return Origin(
            model_name=adapter.lora_name if adapter is not None else self.model_config.served_model_name,
            arrived=current_request().arrived,
            effort=request.effort,
            max_tokens=room if params.max_tokens is None else min(params.max_tokens, room),
            is_search_step=request.source is PromptSource.ENGINE,
        )

    def _span(
        self, request_id: str, params: SamplingParams, prompt_tokens: int, headers: Mapping[str, str] | None
    ) -> RequestSpan:
        return RequestSpan(
            request_id=request_id, headers=headers, began=time.time_ns(), prompt_tokens=prompt_tokens, params=params
        )

    def _started(self, prompt: Any, params: SamplingParams, request_id: str, options: dict[str, Any]) -> Outputs:
        """vLLM's `generate`, of a request that has been checked."""
        options |= process_input(self, request_id, prompt, params, options)
        outputs: Outputs = super().generate(sampling_params=params, request_id=request_id, **options)
        report_engine_reached()
        return outputs

    def check(self, prompt: Any, sampling_params: SamplingParams, request_id: str) -> None:
        """Raise what `generate` would raise, for callers who call that too late for an error response."""
        _, _, params, _ = self._prepare(prompt, sampling_params)
        process_input(self, request_id, prompt, params, {})

    def room_for_reply(self, request: BudgetRequest) -> int:
        """How many tokens of the context a reply needs that has no limit of its own."""
        return self._policy.room_for_reply(request, self.model_config.max_model_len, self.get_tokenizer())

    def template_variables(self, request: BudgetRequest) -> Mapping[str, Any]:
        """The variables with which the chats of a request are rendered, in addition to its own."""
        return self._policy.template_variables(request)

    def _prepare(
        self, prompt: Any, given: SamplingParams
    ) -> tuple[BudgetRequest, Sequence[int], SamplingParams, ResolvedBudget | None]:
        """What is asked for, the prompt's ids, the parameters with the model's own stop ids, and the budget."""
        ids = prompt_token_ids(self, prompt)
        params = with_model_stops(self, given)
        request = BudgetRequest.from_extra_args(given.extra_args)
        generation = Generation(
            ids, params, given.stop_token_ids or (), self.model_config.max_model_len, self._grammar_start
        )
        resolved = self._policy.resolve(request, generation, self.get_tokenizer())
        if generation.has_grammar and resolved is not None and resolved.budget is not None and not resolved.only_closes:
            assert self._policy.markers is not None
            # Only the budget opens the thinking then: see `budgets.structured_output`.
            params.bad_words = [*(params.bad_words or ()), self._policy.markers.start]
        params.extra_args = without_budget(given.extra_args)
        params.thinking_token_budget = None
        return request, ids, params, resolved

    @property
    def _grammar_start(self) -> GrammarStart:
        if self.vllm_config.structured_outputs_config.enable_in_reasoning:
            return GrammarStart.FIRST_TOKEN
        return GrammarStart.ANOTHER_PARSER if masks_thinking(self.vllm_config) else GrammarStart.OUR_MARKERS

    def _find_reply(self, key: str) -> CountedReply | None:
        """The reply to the request with this key."""
        running = self._running.by_key(key)
        return None if running is None else running.reply

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self.get_tokenizer().decode(ids, skip_special_tokens=True)
        return text

    def watch_processes(self) -> None:
        """From now on, end all replies with an error as soon as one of the engine's processes ends.

        vLLM waits for the others first, for seconds. Call it in the event loop.
        """
        loop = asyncio.get_running_loop()
        for sentinel in core_sentinels(self):
            loop.add_reader(sentinel, self._on_death, sentinel)

    def _on_death(self, sentinel: int) -> None:
        asyncio.get_running_loop().remove_reader(sentinel)
        declare_dead(self)

    async def cut_replies(self, seconds: float) -> None:
        """End all running replies, with the finish reason `abort`, and start no more."""
        self._is_cutting = True
        try:
            await answered(self.pause_generation(mode="abort", clear_cache=False), lambda: self.errored, seconds)
        except (EngineDeadError, TimeoutError) as error:
            logger.error("Running replies could not be cut: %s", error)

    async def steer(self, reply_id: str, until: int | None) -> list[SteeringResult]:
        """Steer all choices of a running response: think on until that many tokens, or, with None, answer now.

        Returns when it has taken effect, which is in the next step of each choice.

        Raises:
            SteeringError: where no such reply is running, or a part of it cannot be steered; then none was.
            InvalidBudget: for a floor that leaves no room for the answer in one of them.
        """
        found = self._running.find(reply_id)
        for running in found:
            self.output_processor.steered(running.key)
        with self._recorder.steering(found, until) as results:
            results += await steer(found, until, self._call)
        return results

    async def _counted(self, outputs: Outputs, running: RunningReply, *, cumulative: bool) -> Outputs:
        """The outputs, each passed on once its tokens are counted and the reports of choices that ended are final."""
        choices = running.reply.choices
        with self._running.registered(running), self._recorder.following(running):
            async with aclosing(outputs):
                async for output in outputs:
                    ended = dict[CountedChoice, CompletionOutput]()
                    for completion in output.outputs:
                        choice = choices[completion.index]
                        ids = completion.token_ids
                        choice.take(ids[len(choice.ids) :] if cumulative else ids)
                        if completion.finished():
                            choice.is_finished = True
                            choice.end()
                            ended[choice] = completion
                    self._check_aborted(output)
                    if ended:
                        await self._settle(list(ended), running)
                        self._recorder.finished(running, ended)
                    yield output

    async def _unaborted(self, outputs: Outputs) -> Outputs:
        """The outputs of a reply that is not counted."""
        async with aclosing(outputs):
            async for output in outputs:
                self._check_aborted(output)
                yield output

    def _check_aborted(self, output: RequestOutput) -> None:
        """Raise GenerationFailed if the engine has ended the reply and `cut_replies` was not called."""
        if any(completion.finish_reason == "abort" for completion in output.outputs) and not self._is_cutting:
            raise GenerationFailed("the engine has aborted the reply")

    async def _settle(self, ended: Sequence[CountedChoice], running: RunningReply) -> None:
        """Make the reports of choices that ended final, with what only the engine's workers know."""
        unsettled = [choice for choice in ended if choice.needs_redirects or running.steers]
        if not unsettled:
            return
        try:
            reports = await self._reports.read(running.key)
        except TimeoutError:  # the reply is complete, and the error below is logged
            reports = []
        for choice, report in assign(running.reply.choices, reports):
            if choice not in unsettled:
                continue
            if report is None:
                logger.error("The engine has no report of a reply's redirects: its waits are counted from its tokens")
            else:
                choice.settle(report.fires, report.steers)

    async def _call(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method of the worker extension, and take the answer of a rank that samples.

        Every engine is called: with data parallelism, any of them may run the request.

        Raises:
            EngineDeadError, TimeoutError: as `answered`.
        """
        engines = await answered(call_all_engines(self, method, arguments), lambda: self.errored)
        return [sampling_worker(self, workers) for workers in engines]


def without_budget(entries: dict[str, Any] | None) -> dict[str, Any] | None:
    """The entries of `SamplingParams.extra_args` that are not ours."""
    kept = {
        name: value for name, value in (entries or {}).items() if name not in BUDGET_NAMES and name != BUDGET_REQUEST
    }
    return kept or None


def for_workers(
    params: SamplingParams, resolved: ResolvedBudget, key: str, *, is_traced: bool = False
) -> SamplingParams:
    """The parameters with the budget in force, for the workers, and the request's key where it is looked up."""
    is_looked_up = params.stop or params.output_kind is RequestOutputKind.FINAL_ONLY or is_traced
    if resolved.budget is None and not is_looked_up:
        return params
    params = copy(params)
    budget = resolved.budget.to_dict() if resolved.budget is not None else {}
    closing = {ONLY_CLOSES_KEY: True} if resolved.only_closes else {}
    params.extra_args = {**(params.extra_args or {}), **budget, **closing, REQUEST_KEY: key}
    return params

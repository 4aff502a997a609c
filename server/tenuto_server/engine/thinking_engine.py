"""vLLM's engine with thinking budgets: the one place that every request passes, whatever its endpoint."""

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

from vllm.outputs import RequestOutput
from vllm.renderers.inputs.preprocess import extract_prompt_components
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.v1.engine.async_llm import AsyncLLM

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.errors import InvalidBudget
from tenuto_decoding.markers import ThinkingMarkers
from tenuto_decoding.plan import ThinkingPlan
from tenuto_decoding.vllm_requests import REQUEST_KEY, masks_thinking, plan_for

from ..budgets.conflicts import check_combination
from ..budgets.request_fields import OWN_KEYS, BudgetRequest
from ..budgets.resolution import FloorCheck, ThinkingPolicy, TokenLimits
from ..budgets.structured_output import supervised, thinks_by_itself
from ..context import current_path
from .accounting import CountedChoice, CountedReply, hand_over
from .registry import RunningReplies, RunningReply, response_of
from .steering import SteeringResult, assign, steer
from .stop_strings import AnswerOnlyOutputProcessor
from .worker_calls import Departures, Reports

logger = logging.getLogger("vllm.tenuto")

Outputs = AsyncGenerator[RequestOutput, None]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A request as it goes to the engine.

    Attributes:
        check_floor: for a floor that it is given while it runs.
        grammar_begins: whether its grammar is at work from the first token; None where there is none, or vLLM decides.
    """

    prompt: Sequence[int]
    params: SamplingParams
    budget: ThinkingBudget | None
    plan: ThinkingPlan | None
    set_by: Mapping[str, str]
    check_floor: FloorCheck
    grammar_begins: bool | None


class ThinkingEngine(AsyncLLM):
    """`AsyncLLM` that resolves budgets on the way in and accounts for them on the way out."""

    output_processor: AnswerOnlyOutputProcessor

    def __init__(self, *, policy: ThinkingPolicy, **kwargs: Any) -> None:
        self._policy = policy
        # What the workers know requests by: a random part once, for randomness is a system call.
        self._keys = map(f"{uuid.uuid4().hex}-{{}}".format, count())
        self._running = RunningReplies(Departures(self._call).add)
        self._reports = Reports(self._call, self._running.__len__)
        super().__init__(**kwargs)
        self.output_processor = AnswerOnlyOutputProcessor(self.output_processor, self._plan_of)

    def generate(self, prompt: Any, sampling_params: SamplingParams, request_id: str, **kwargs: Any) -> Outputs:
        """As `AsyncLLM.generate`, but what is wrong with a budget is raised here, before anything is generated.

        Raises:
            ThinkingError: for a budget that is wrong or cannot be kept.
        """
        request = self._prepare(prompt, sampling_params)
        if request.grammar_begins is not None:
            kwargs["reasoning_ended"] = request.grammar_begins
        key = next(self._keys)
        params = with_budget(request.params, request.budget, key)
        outputs: Outputs = super().generate(prompt, params, request_id, **kwargs)
        if request.plan is None:
            return outputs
        reply = CountedReply(request.plan, request.budget, request.prompt, params.n, request.set_by)
        hand_over(reply)
        response_id, first = response_of(request_id, current_path(), params.n)
        running = RunningReply(response_id, first, key, reply, request.budget, request.check_floor)
        return self._accounted(outputs, running, cumulative=params.output_kind is RequestOutputKind.CUMULATIVE)

    @cached_property
    def _eos_token_id(self) -> int | None:
        eos: int | None = self.renderer.get_eos_token_id()
        return eos

    def check(self, prompt: Any, sampling_params: SamplingParams) -> None:
        """Raise what `generate` would raise, for callers who learn of it too late there."""
        self._prepare(prompt, sampling_params)

    def _prepare(self, prompt: Any, given: SamplingParams) -> "_Prepared":
        """What the request gets of what it asks for, beside its other parameters."""
        ids: Sequence[int] = extract_prompt_components(self.model_config, prompt).token_ids or []
        context, tokenizer, markers = self.model_config.max_model_len, self.get_tokenizer(), self._policy.markers
        asked = BudgetRequest.of_extra_args(given.extra_args or {}, given.thinking_token_budget)
        room = TokenLimits(max_tokens=given.max_tokens or context, context=context)
        resolution = self._policy.resolve(asked, ids, tokenizer, room)
        budget, counting, set_by = resolution.budget, resolution.plan, resolution.set_by
        params = given.clone()
        # vLLM puts the model's own stop ids in later; they end the thinking as well.
        fields = self.input_processor.generation_config_fields
        params.update_from_generation_config(fields, self._eos_token_id)
        if counting is None or markers is None:
            return _Prepared(ids, params, None, None, set_by, resolution.check_floor, None)
        begins: bool | None = None
        if params.structured_outputs is not None:
            budget, begins = self._beside_grammar(budget, counting, ids, markers)
            if budget is not None:  # nobody else opens the thinking then: see `grammar`
                params.bad_words = [*(params.bad_words or ()), markers.start]
        plan = plan_for(params, budget, markers, tokenizer)
        check_combination(params, given.stop_token_ids or (), plan, ids, tokenizer)
        return _Prepared(ids, params, budget, plan, set_by, resolution.check_floor, begins)

    def _beside_grammar(
        self,
        budget: ThinkingBudget | None,
        counting: ThinkingPlan,
        prompt: Sequence[int],
        markers: ThinkingMarkers,
    ) -> tuple[ThinkingBudget | None, bool | None]:
        """The budget beside structured output, and whether the grammar is at work from the first token.

        None where a reasoning parser of vLLM's says that.
        """
        if budget is not None and self.vllm_config.structured_outputs_config.enable_in_reasoning:
            raise InvalidBudget(
                next(iter(budget.to_dict())),
                "this server's grammars cover the thinking too (enable_in_reasoning in --structured-outputs-config), "
                "so no budget can be kept in a request with structured output",
            )
        if masks_thinking(self.vllm_config):
            return budget, None
        return supervised(budget, counting, prompt, thinks=thinks_by_itself(markers, self.get_tokenizer()))

    def _plan_of(self, params: SamplingParams) -> ThinkingPlan | None:
        """The plan of parameters as they were sent to the engine."""
        if self._policy.markers is None:
            return None
        budget = ThinkingBudget.of_checked(params.extra_args or {})
        return plan_for(params, budget, self._policy.markers, self.get_tokenizer())

    async def steer(self, reply_id: str, until: int | None) -> list[SteeringResult]:
        """Steer all choices of a running response: think on until that many tokens, or, with None, answer now.

        It takes effect in the next step of each choice, which is waited for.

        Raises:
            SteeringError: where no such reply is running, or a part of it cannot be steered; then none was.
            InvalidBudget: for a floor that leaves no room for the answer in one of them.
        """
        found = self._running.find(reply_id)
        for running in found:
            self.output_processor.steered(running.key)
        return await steer(found, until, self._call)

    async def _accounted(self, outputs: Outputs, running: RunningReply, *, cumulative: bool) -> Outputs:
        choices = running.reply.choices
        early: asyncio.Task[None] | None = None
        with self._running.during(running):
            try:
                async with aclosing(outputs):
                    async for output in outputs:
                        ended = []
                        for completion in output.outputs:
                            choice = choices[completion.index]
                            ids = completion.token_ids
                            closed = choice.take(ids[len(choice.ids) :] if cumulative else ids)
                            if completion.finished():
                                ended.append(choice)
                            elif closed and early is None and not running.steers:
                                early = asyncio.create_task(self._settle_early(choice, running))
                                early.add_done_callback(_told)
                        if ended:
                            if early is not None and not early.done():
                                self._reports.hurry()
                                await early
                            await self._settle(ended, running)
                        yield output
            finally:
                if early is not None:
                    early.cancel()

    async def _settle_early(self, choice: CountedChoice, running: RunningReply) -> None:
        """Ask what only the engine's workers know of thinking that has ended, so that the reply's end need not wait."""
        reports = await self._reports.of(running.key, soon=True)
        for other, report in assign(running.reply.choices, reports):
            if other is choice and report is not None:
                choice.settle(report.fires, report.steers, until=len(report.ids))

    async def _settle(self, ended: Sequence[CountedChoice], running: RunningReply) -> None:
        """Make the reports of choices that ended final, with what only the engine's workers know."""
        for choice in ended:
            choice.is_finished = True
        unsettled = [choice for choice in ended if choice.needs_redirects or running.steers]
        if not unsettled:
            return
        for choice, report in assign(running.reply.choices, await self._reports.of(running.key)):
            if choice not in unsettled:
                continue
            if report is None:
                logger.error("The engine has no report of a reply's redirects: its waits are told from its tokens")
            else:
                choice.settle(report.fires, report.steers)

    async def _call(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method of the worker extension; the ranks that sample all say the same, the others say nothing.

        Every engine is asked: with data parallelism, any of them may run the request.
        """
        engines: list[list[Any]] = await self.engine_core.call_utility_all_async(
            "collective_rpc", method, None, arguments, None
        )
        return [next(filter(None, workers), workers[0]) for workers in engines]


def _told(task: "asyncio.Task[None]") -> None:
    """What a task failed with has been told to somebody: what nobody asks for is no error of its own."""
    if not task.cancelled():
        task.exception()


def with_budget(params: SamplingParams, budget: ThinkingBudget | None, key: str) -> SamplingParams:
    """The parameters for the engine: our budget alone, never vLLM's own, which would count and force differently."""
    others = {name: value for name, value in (params.extra_args or {}).items() if name not in OWN_KEYS}
    params = copy(params)
    params.thinking_token_budget = None
    params.extra_args = {**others, **budget.to_dict(), REQUEST_KEY: key} if budget is not None else others or None
    return params

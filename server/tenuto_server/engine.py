"""vLLM's engine with thinking budgets: the one place that every request passes, whatever its endpoint."""

import logging
import uuid
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from copy import copy
from typing import Any

from vllm.outputs import RequestOutput
from vllm.renderers.inputs.preprocess import extract_prompt_components
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.v1.engine.async_llm import AsyncLLM

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.steering import SequenceReport
from tenuto_decoding.vllm_v1 import REQUEST_KEY

from .accounting import Choice, Reply, hand_over
from .asked import OWN_KEYS, Asked
from .policy import Resolution, Room, ThinkingPolicy

logger = logging.getLogger("vllm.tenuto")

Outputs = AsyncGenerator[RequestOutput, None]


class ThinkingEngine(AsyncLLM):
    """`AsyncLLM` that resolves budgets on the way in and accounts for them on the way out."""

    def __init__(self, *, policy: ThinkingPolicy, **kwargs: Any) -> None:
        self._policy = policy
        super().__init__(**kwargs)

    def generate(self, prompt: Any, sampling_params: SamplingParams, request_id: str, **kwargs: Any) -> Outputs:
        """As `AsyncLLM.generate`, but what is wrong with a budget is raised here, before anything is generated.

        Raises:
            ThinkingError: for a budget that is wrong or cannot be kept.
        """
        ids, resolution = self._resolve(prompt, sampling_params)
        key = uuid.uuid4().hex
        params = with_budget(sampling_params, resolution.budget, key)
        outputs: Outputs = super().generate(prompt, params, request_id, **kwargs)
        if resolution.plan is None:
            return outputs
        reply = Reply(resolution.plan, resolution.budget, ids, params.n, resolution.set_by)
        hand_over(reply)
        return self._accounted(outputs, reply, key, cumulative=params.output_kind is RequestOutputKind.CUMULATIVE)

    def check(self, prompt: Any, sampling_params: SamplingParams) -> None:
        """Raise what `generate` would raise, for callers who learn of it too late there."""
        self._resolve(prompt, sampling_params)

    def _resolve(self, prompt: Any, sampling_params: SamplingParams) -> tuple[Sequence[int], Resolution]:
        """The ids of the prompt, and what the request gets of what it asks for."""
        ids: Sequence[int] = extract_prompt_components(self.model_config, prompt).token_ids or []
        context = self.model_config.max_model_len
        asked = Asked.of_extra_args(sampling_params.extra_args or {}, sampling_params.thinking_token_budget)
        room = Room(max_tokens=sampling_params.max_tokens or context, context=context)
        return ids, self._policy.resolve(asked, ids, self.get_tokenizer(), room)

    async def _accounted(self, outputs: Outputs, reply: Reply, key: str, *, cumulative: bool) -> Outputs:
        async with aclosing(outputs):
            async for output in outputs:
                for completion in output.outputs:
                    choice = reply.choices[completion.index]
                    choice.take(completion.token_ids[len(choice.ids) if cumulative else 0 :])
                await self._settle((reply.choices[done.index] for done in output.outputs if done.finished()), key)
                yield output

    async def _settle(self, ended: Iterable[Choice], key: str) -> None:
        """Make the reports of choices that ended final, with what only the engine's workers know."""
        unsettled = [choice for choice in ended if choice.needs_redirects]
        if not unsettled:
            return
        # Every engine is asked: with data parallelism, any of them may have run the request.
        engines: list[list[list[SequenceReport]]] = await self.engine_core.call_utility_all_async(
            "collective_rpc", "thinking_report", None, (key,), None
        )
        sequences = [sequence for workers in engines for report in workers for sequence in report]
        for choice in unsettled:
            fired = redirects_of(choice.ids, sequences)
            if fired is None:
                logger.error("The engine has no report of a reply's redirects: its waits are told from its tokens")
            else:
                choice.settle(fired)


def with_budget(params: SamplingParams, budget: ThinkingBudget | None, key: str) -> SamplingParams:
    """The parameters for the engine: our budget alone, never vLLM's own, which would count and force differently."""
    others = {name: value for name, value in (params.extra_args or {}).items() if name not in OWN_KEYS}
    params = copy(params)
    params.thinking_token_budget = None
    params.extra_args = {**others, **budget.to_dict(), REQUEST_KEY: key} if budget is not None else others or None
    return params


def redirects_of(ids: Sequence[int], sequences: Sequence[SequenceReport]) -> list[int] | None:
    """The positions at which redirects fired in the choice with these ids, or None where no report is the choice's.

    A worker's automaton is a little behind the reply, or ahead of it where more was sampled than was kept; so the ids
    are compared as far as both go, and among several sequences the one with the longest agreement is the choice's.
    """
    shared = [(min(len(ids), len(taken)), taken, fired) for taken, fired, _ in sequences]
    own = [(size, fired) for size, taken, fired in shared if list(ids[:size]) == list(taken[:size])]
    return max(own)[1] if own else None

"""What the engine is given of a budget, and how it learns what became of one."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from vllm.outputs import CompletionOutput, RequestOutput
from vllm.sampling_params import SamplingParams

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.markers import FAMILIES
from tenuto_decoding.plan import compile_plan
from tenuto_decoding.vllm_requests import REQUEST_KEY
from tenuto_server.engine.accounting import CountedReply
from tenuto_server.engine.registry import RunningReplies, RunningReply
from tenuto_server.engine.thinking_engine import ThinkingEngine, with_budget
from tenuto_server.engine.worker_calls import Reports


def test_the_engine_gets_our_budget_and_never_vllms_own() -> None:
    asked = SamplingParams(thinking_token_budget=9, extra_args={"max_thinking_tokens": 50, "kv_transfer_params": {}})
    given = with_budget(asked, ThinkingBudget(max_thinking_tokens=5), "key")
    assert given.thinking_token_budget is None
    assert given.extra_args is not None
    assert ThinkingBudget.from_mapping(given.extra_args) == ThinkingBudget(max_thinking_tokens=5)
    assert given.extra_args[REQUEST_KEY] == "key"
    assert given.extra_args["kv_transfer_params"] == {}
    assert asked.extra_args == {"max_thinking_tokens": 50, "kv_transfer_params": {}}, "the caller's are its own"


def test_without_a_budget_the_engine_gets_nothing_of_ours() -> None:
    assert with_budget(SamplingParams(), None, "key").extra_args is None


class Accounting:
    """One reply with a budget on its way out of the engine, whose workers say that none of its redirects fired."""

    def __init__(self, tokenizer: Any) -> None:
        self.budget = ThinkingBudget(num_waits=1)
        self.reply = CountedReply(compile_plan(self.budget, FAMILIES["s1"], tokenizer), self.budget, [], 1)
        self.asked_after: list[int] = []
        self.given = 0
        self.engine = ThinkingEngine.__new__(ThinkingEngine)
        self.engine._running = RunningReplies(lambda key: None)
        self.engine._reports = Reports(self.call, self.engine._running.__len__)

    async def call(self, method: str, *arguments: Any) -> list[Any]:
        assert method == "thinking_reports"
        self.asked_after.append(self.given)
        return [[[(self.reply.choices[0].ids[: self.given], [], [])]]]

    async def outputs(self, ids: Sequence[int], pause: float) -> AsyncGenerator[RequestOutput, None]:
        for self.given, token in enumerate(ids, 1):
            reason = "stop" if self.given == len(ids) else None
            completion = CompletionOutput(0, "", [token], None, None, finish_reason=reason)
            yield RequestOutput("id", None, [], None, [completion], finished=reason is not None)
            await asyncio.sleep(pause)

    async def run(self, ids: Sequence[int], pause: float) -> None:
        running = RunningReply("id", 0, "key", self.reply, self.budget, lambda floor: None)
        async for _ in self.engine._accounted(self.outputs(ids, pause), running, cumulative=False):
            pass


THINKING = "<|im_start|>think\nWaitabc\n<|im_start|>answer\n"


async def test_the_workers_are_asked_for_a_thinking_while_the_answer_is_being_written(chatml: Any) -> None:
    accounting = Accounting(chatml)
    thinking, whole = (chatml.encode(text) for text in (THINKING, f"{THINKING}{'x' * 100}<|im_end|>"))
    await accounting.run(whole, 0.001)
    (after,) = accounting.asked_after
    assert len(thinking) - 1 <= after < len(whole)
    (choice,) = accounting.reply.choices
    assert (choice.is_finished, choice.report.waits, choice.report.ended_by) == (True, 0, "model")


async def test_a_reply_that_ends_sooner_does_not_wait_for_others_that_could_be_asked_for(
    chatml: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("tenuto_server.engine.worker_calls._LONGEST_PAUSE", 3600)
    monkeypatch.setattr("tenuto_server.engine.worker_calls._PAUSE", 3600)
    accounting = Accounting(chatml)
    whole = chatml.encode(f"{THINKING}x<|im_end|>")
    await accounting.run(whole, 0)
    assert accounting.asked_after == [len(whole)]
    assert accounting.reply.choices[0].report.waits == 0

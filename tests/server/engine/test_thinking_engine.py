"""What the workers get of a budget, and how the engine learns what was enforced."""

import asyncio
import multiprocessing
import time
from collections.abc import AsyncGenerator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.sampling_params import SamplingParams
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.engine.output_processor import OutputProcessor

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.vllm_requests import REQUEST_KEY
from tenuto_server.budgets.request_fields import BUDGET_REQUEST, BudgetRequest
from tenuto_server.engine.accounting import CountedReply
from tenuto_server.engine.recording import Recorder
from tenuto_server.engine.registry import RunningReplies, RunningReply
from tenuto_server.engine.stop_strings import AnswerOnlyOutputProcessor
from tenuto_server.engine.thinking_engine import ThinkingEngine, for_workers, without_budget
from tenuto_server.engine.worker_calls import ReportReader
from tenuto_server.errors import GenerationFailed
from tests.server.resolved import resolved


def test_the_workers_get_the_budget_in_force_and_the_key(chatml: Any) -> None:
    params = SamplingParams(extra_args={"kv_transfer_params": {}})
    given = for_workers(params, resolved(chatml, ThinkingBudget(max_thinking_tokens=5)), "key")
    assert given.extra_args is not None
    assert ThinkingBudget.from_mapping(given.extra_args) == ThinkingBudget(max_thinking_tokens=5)
    assert given.extra_args[REQUEST_KEY] == "key"
    assert given.extra_args["kv_transfer_params"] == {}
    assert params.extra_args == {"kv_transfer_params": {}}, "the caller's are unchanged"


def test_what_the_request_brought_does_not_reach_the_workers() -> None:
    entries = {"max_thinking_tokens": 50, BUDGET_REQUEST: BudgetRequest(), "kv_transfer_params": {}}
    assert without_budget(entries) == {"kv_transfer_params": {}}
    assert without_budget({BUDGET_REQUEST: BudgetRequest()}) is None


def test_without_a_budget_the_workers_get_nothing_and_stop_strings_the_key(chatml: Any) -> None:
    assert for_workers(SamplingParams(), resolved(chatml), "key").extra_args is None
    assert for_workers(SamplingParams(stop=["x"]), resolved(chatml), "key").extra_args == {REQUEST_KEY: "key"}


async def test_the_output_processor_is_wrapped_as_soon_as_it_is_set(chatml: Any) -> None:
    """Inside an event loop, vLLM's constructor starts a task that holds on to the processor for good."""
    engine = ThinkingEngine.__new__(ThinkingEngine)
    engine.output_processor = OutputProcessor(chatml, log_stats=False, stream_interval=3)
    assert isinstance(engine.output_processor, AnswerOnlyOutputProcessor)
    assert (engine.output_processor.tokenizer, engine.output_processor.stream_interval) == (chatml, 3)


class Workers:
    """One reply with a budget on its way out of the engine, whose workers report that none of its redirects fired."""

    def __init__(self, tokenizer: Any) -> None:
        budget = ThinkingBudget(num_waits=1)
        self.reply = CountedReply(resolved(tokenizer, budget), [], 1)
        self.calls: list[int] = []
        self.given = 0
        self.engine = ThinkingEngine.__new__(ThinkingEngine)
        self.engine._running = RunningReplies(lambda key: None)
        self.engine._reports = ReportReader(self.call)
        bounds: Any = dict.fromkeys(("request_tokens", "time_to_first_token", "request_latency"), (1.0, 10.0))
        self.engine._recorder = Recorder("m", bounds, self.engine._running, tokenizer.decode)

    async def call(self, method: str, *arguments: Any) -> list[Any]:
        assert method == "thinking_reports"
        self.calls.append(self.given)
        return [[[(self.reply.choices[0].ids[: self.given], [], [])]]]

    async def outputs(self, ids: Sequence[int], end: str = "stop") -> AsyncGenerator[RequestOutput, None]:
        for self.given, token in enumerate(ids, 1):
            reason = end if self.given == len(ids) else None
            completion = CompletionOutput(0, "", [token], None, None, finish_reason=reason)
            yield RequestOutput("id", None, [], None, [completion], finished=reason is not None)
            await asyncio.sleep(0)

    async def run(self, ids: Sequence[int], end: str = "stop") -> None:
        running = RunningReply("id", 0, "key", self.reply)
        async for _ in self.engine._counted(self.outputs(ids, end), running, cumulative=False):
            pass


async def test_the_workers_are_asked_once_when_a_choice_ends_that_its_tokens_leave_open(chatml: Any) -> None:
    workers = Workers(chatml)
    ids = chatml.encode("<|im_start|>think\nWaitabc\n<|im_start|>answer\nx<|im_end|>")
    await workers.run(ids)
    assert workers.calls == [len(ids)]
    (choice,) = workers.reply.choices
    assert (choice.is_finished, choice.report.waits, choice.report.ended_by) == (True, 0, "model")


async def test_the_workers_are_not_asked_where_the_tokens_tell_everything(chatml: Any) -> None:
    workers = Workers(chatml)
    await workers.run(chatml.encode("<|im_start|>think\nabc"))
    assert workers.calls == []


async def test_without_an_answer_of_the_workers_the_tokens_are_counted(chatml: Any) -> None:
    """The reply is complete; only its waits are uncertain."""
    workers = Workers(chatml)

    async def call(method: str, *arguments: Any) -> list[Any]:
        raise TimeoutError

    workers.engine._reports = ReportReader(call)
    await workers.run(chatml.encode("<|im_start|>think\nWaitabc\n<|im_start|>answer\nx<|im_end|>"))
    assert workers.reply.choices[0].is_finished


@pytest.mark.parametrize("has_budget", [True, False])
async def test_a_reply_that_the_engine_aborts_on_its_own_is_an_error(chatml: Any, has_budget: bool) -> None:
    """A part of an answer must not look like the whole: only the server's own cut ends in `abort`."""
    ids = chatml.encode("<|im_start|>think\nabc")

    async def run(workers: Workers) -> None:
        if has_budget:
            await workers.run(ids, "abort")
        else:
            assert [output async for output in workers.engine._unaborted(workers.outputs(ids, "abort"))]

    with pytest.raises(GenerationFailed, match="aborted"):
        await run(Workers(chatml))
    cut = Workers(chatml)
    cut.engine._is_cutting = True
    await run(cut)


class DyingEngine(ThinkingEngine):
    """An engine of real processes that only sleep, as far as their end is noticed."""

    def __init__(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.processes = [context.Process(target=time.sleep, args=(600,), daemon=True) for _ in range(count)]
        for process in self.processes:
            process.start()
        manager = SimpleNamespace(processes=self.processes)
        self.engine_core: Any = SimpleNamespace(resources=SimpleNamespace(engine_manager=manager, engine_dead=False))
        self.errors: list[Exception] = []
        self._output_processor: Any = SimpleNamespace(propagate_error=self.errors.append)
        self.output_handler = None

    def shutdown(self, timeout: float | None = None) -> None:
        """What the garbage collector calls."""


async def test_the_end_of_one_process_ends_all_replies_at_once() -> None:
    """With data parallelism, vLLM would let the others end first."""
    engine = DyingEngine(2)
    engine.watch_processes()
    await asyncio.sleep(0.05)
    assert not engine.errored
    engine.processes[1].kill()
    async with asyncio.timeout(20):
        while not engine.errored:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert [type(error) for error in engine.errors] == [EngineDeadError]
    assert engine.processes[0].is_alive()
    engine.processes[0].kill()


async def test_cutting_replies_of_a_dead_engine_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = DyingEngine(0)
    engine.engine_core.resources.engine_dead = True
    monkeypatch.setattr(engine, "pause_generation", lambda **options: asyncio.Event().wait())
    await asyncio.wait_for(engine.cut_replies(600), 10)

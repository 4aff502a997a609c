"""Each choice is recorded once, with what it was, however it ends."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.v1.engine import EngineCoreOutput, EngineCoreRequest, FinishReason
from vllm.v1.engine.output_processor import OutputProcessor, RequestOutputCollector

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.vllm_requests import REQUEST_KEY
from tenuto_server.engine.accounting import CountedReply
from tenuto_server.engine.recording import Recorder, phase_of
from tenuto_server.engine.registry import Origin, RunningReplies, RunningReply
from tenuto_server.engine.thinking_engine import ThinkingEngine
from tenuto_server.engine.whole_replies import CountingOutputProcessor
from tenuto_server.engine.worker_calls import ReportReader
from tests.server.metrics.bounds import BOUNDS
from tests.server.resolved import resolved

START, END = "<|im_start|>think", "<|im_start|>answer"
WHOLE = f"{START}abc\n{END}\nx<|im_end|>"


class Engine:
    """The part of an engine that counts and records, without a model."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.engine = ThinkingEngine.__new__(ThinkingEngine)
        self.engine._running = RunningReplies(lambda key: None)
        self.engine._reports = ReportReader(self._call)
        self.engine._recorder = Recorder("m", BOUNDS, self.engine._running, self._decode)

    async def _call(self, method: str, *arguments: Any) -> list[Any]:
        return []

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def running(self, n: int = 1, budget: ThinkingBudget | None = None, **origin: Any) -> RunningReply:
        reply = CountedReply(resolved(self.tokenizer, budget), [], n)
        return RunningReply("id", 0, "key", reply, Origin(model_name="m", max_tokens=100, **origin))

    async def outputs(self, text: str, reason: str, n: int = 1, **last: Any) -> AsyncGenerator[RequestOutput, None]:
        ids = self.tokenizer.encode(text)
        for place, token in enumerate(ids, 1):
            end = reason if place == len(ids) else None
            more = last if end else {}
            completions = [CompletionOutput(at, "", [token], None, None, finish_reason=end, **more) for at in range(n)]
            yield RequestOutput("id", None, [], None, completions, finished=end is not None)
            await asyncio.sleep(0)

    async def run(self, running: RunningReply, text: str, reason: str = "stop", n: int = 1, **last: Any) -> None:
        async for _ in self.engine._counted(self.outputs(text, reason, n, **last), running, cumulative=False):
            pass

    def samples(self) -> dict[str, float]:
        """What is not 0 of the counters and of the counts of histograms, by name and the labels but the model's."""
        return {
            "/".join([sample.name, *(value for name, value in sample.labels.items() if name != "model_name")]): (
                sample.value
            )
            for metric in self.engine._recorder.metrics.collect()
            for sample in metric.samples
            if sample.value and not sample.name.endswith(("_created", "_bucket", "_sum"))
        }


@pytest.fixture
def engine(chatml: Any) -> Engine:
    return Engine(chatml)


async def test_the_choices_of_a_reply_are_recorded_when_it_ends(engine: Engine) -> None:
    await engine.run(engine.running(2, effort="low"), WHOLE, n=2)
    samples = engine.samples()
    assert samples["tenuto_thinking_endings_total/model"] == 2
    assert samples["tenuto_choice_thinking_tokens_count/low"] == 2
    assert samples["tenuto_thinking_tokens_total"] == 2 * 4
    assert samples["tenuto_time_to_first_answer_token_seconds_count"] == 2
    assert not any(name.startswith(("tenuto_running", "tenuto_empty")) for name in samples)


@pytest.mark.parametrize(
    ("text", "reason", "last", "empty"),
    [
        (f"{START}a\n{END}\nx<|im_end|>", "stop", {}, None),
        (f"{START}a\n{END}\n  <|im_end|>", "stop", {}, "stopped"),
        (f"{START}a\n{END}<|im_end|>", "stop", {}, "stopped"),
        (f"{START}a\n{END}" + "\n" * 30 + "x", "stop", {}, None),
        (f"{START}a<|im_end|>", "stop", {}, "stopped"),
        ("<|im_end|>", "stop", {}, "stopped"),
        ("x", "stop", {}, None),
        (f"{START}abc", "length", {}, "length"),
        (f"{START}a\n{END}", "length", {}, "length"),
        (f"{START}a\n{END}\nstop", "stop", {"stop_reason": "stop"}, "stopped"),
        (f"{START}a\n{END}\nx stop", "stop", {"stop_reason": "stop"}, None),
    ],
)
async def test_an_answer_is_empty_if_it_has_no_text_of_its_own(
    engine: Engine, text: str, reason: str, last: dict[str, Any], empty: str | None
) -> None:
    await engine.run(engine.running(), text, reason, **last)
    found = {name for name in engine.samples() if name.startswith("tenuto_empty")}
    assert found == ({f"tenuto_empty_answers_total/{empty}"} if empty else set())


@pytest.mark.parametrize(("answer", "is_empty"), [("", True), (" 1", False)])
async def test_what_the_cap_forces_before_an_answer_is_no_answer(engine: Engine, answer: str, is_empty: bool) -> None:
    running = engine.running(budget=ThinkingBudget(max_thinking_tokens=3, cap_text=""))
    await engine.run(running, f"{START}abc\n{END}\nFinal Answer:{answer}<|im_end|>")
    samples = engine.samples()
    assert samples["tenuto_forced_ends_total/cap"] == 1
    assert samples.get("tenuto_empty_answers_total/stopped", 0) == is_empty


async def test_what_a_cap_of_0_puts_in_place_of_thinking_is_no_answer(engine: Engine) -> None:
    budget = ThinkingBudget(max_thinking_tokens=0)
    running = engine.running(budget=budget)
    written = engine.tokenizer.decode(list(running.reply.resolved.plan.no_thinking))
    await engine.run(running, f"{written}<|im_end|>")
    samples = engine.samples()
    assert samples["tenuto_empty_answers_total/stopped"] == 1
    assert samples["tenuto_forced_ends_total/cap"] == 1


async def ended_by_closing(stream: AsyncGenerator[Any, None]) -> None:
    for _ in range(6):
        await anext(stream)
    await stream.aclose()


async def ended_by_cancelling(stream: AsyncGenerator[Any, None]) -> None:
    async def read() -> None:
        for _ in range(6):
            await anext(stream)
        await asyncio.sleep(60)

    task = asyncio.create_task(read())
    await asyncio.sleep(0.05)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await stream.aclose()


async def ended_by_an_error(stream: AsyncGenerator[Any, None]) -> None:
    for _ in range(6):
        await anext(stream)
    with pytest.raises(RuntimeError):
        await stream.athrow(RuntimeError("the engine has died"))


@pytest.mark.parametrize(
    ("end", "reason"),
    [(ended_by_closing, "cancelled"), (ended_by_cancelling, "cancelled"), (ended_by_an_error, "error")],
)
@pytest.mark.parametrize(("text", "was_thinking"), [(f"{START}abcdefgh", True), (f"{START}\n{END}abcde", False)])
async def test_a_reply_that_does_not_finish_is_recorded_once(
    engine: Engine, end: Callable[[Any], Any], reason: str, text: str, was_thinking: bool
) -> None:
    """Its tokens and its ending count; while it has not finished, it is one of those that run."""
    running = engine.running()
    stream = engine.engine._counted(engine.outputs(text, "stop"), running, cumulative=False)
    await anext(stream)
    assert engine.samples()["tenuto_running_choices/before"] == 1
    await end(stream)
    (choice,) = running.reply.choices
    samples = engine.samples()
    assert samples.pop(f"tenuto_thinking_endings_total/{reason if was_thinking else 'model'}") == 1
    assert samples.pop("tenuto_answer_tokens_total") + samples.pop("tenuto_thinking_tokens_total", 0) == len(choice.ids)
    assert samples == {}


@pytest.mark.parametrize("reason", ["abort", "error"])
async def test_a_reply_that_is_cut_is_in_no_histogram(engine: Engine, reason: str) -> None:
    engine.engine._is_cutting = True
    await engine.run(engine.running(), f"{START}abc", reason)
    samples = engine.samples()
    assert samples[f"tenuto_thinking_endings_total/{'cancelled' if reason == 'abort' else 'error'}"] == 1
    assert not any(name.endswith("_count") for name in samples)


async def test_steps_of_a_search_count_as_tokens_only(engine: Engine) -> None:
    await engine.run(engine.running(is_search_step=True), WHOLE)
    assert engine.samples().keys() == {"tenuto_thinking_tokens_total", "tenuto_answer_tokens_total"}


@pytest.mark.parametrize(
    ("text", "phase"),
    [
        ("", "before"),
        ("<|im_start|>", "before"),
        (START, "thinking"),
        (f"{START}abc", "thinking"),
        (f"{START}abc\n{END}", "answer"),
        ("x", "answer"),
    ],
)
def test_the_phase_of_a_running_choice(engine: Engine, text: str, phase: str) -> None:
    (choice,) = engine.running().reply.choices
    choice.take(engine.tokenizer.encode(text))
    assert phase_of(choice) == phase


@pytest.mark.parametrize(
    ("cap", "text", "remaining"),
    [
        (None, "", 100),
        (None, f"{START}abc", 95),
        (20, "", 20),
        (20, f"{START}abc", 17),
        (200, f"{START}abc", 95),
        (20, f"{START}abc\n{END}", 0),
        (0, "", 0),
    ],
)
def test_the_remaining_thinking_is_bounded_by_the_cap_and_the_token_limit(
    engine: Engine, cap: int | None, text: str, remaining: int
) -> None:
    running = engine.running(budget=None if cap is None else ThinkingBudget(max_thinking_tokens=cap, cap_text=""))
    running.reply.choices[0].take(engine.tokenizer.encode(text))
    with engine.engine._running.registered(running):
        assert engine.samples().get("tenuto_remaining_thinking_tokens", 0) == remaining


def whole_reply(tokenizer: Any, reply: CountedReply, **params: Any) -> tuple[CountingOutputProcessor, Any]:
    """An output processor with one whole reply, and its queue."""
    processor = CountingOutputProcessor(
        OutputProcessor(tokenizer, log_stats=False),
        {"key": reply}.get,
    )
    sampling = SamplingParams(
        output_kind=RequestOutputKind.FINAL_ONLY, extra_args={REQUEST_KEY: "key"}, max_tokens=50, **params
    )
    queue = RequestOutputCollector(RequestOutputKind.FINAL_ONLY, "r")
    request: Any = SimpleNamespace(
        **dict.fromkeys(EngineCoreRequest.__struct_fields__),
        params=sampling,
    )
    request.request_id = request.external_req_id = "r"
    request.sampling_params, request.prompt_token_ids, request.arrival_time = sampling, [1, 2], 0.0
    request.resumable = False
    processor.add_request(request, None, None, 0, queue)
    return processor, queue


def test_a_choice_that_has_ended_before_the_others_of_its_reply_does_not_run(engine: Engine) -> None:
    running = engine.running(2)
    for choice in running.reply.choices:
        choice.take(engine.tokenizer.encode(f"{START}abc"))
    running.reply.choices[0].end()
    with engine.engine._running.registered(running):
        samples = engine.samples()
    assert samples["tenuto_running_choices/thinking"] == 1
    assert samples["tenuto_remaining_thinking_tokens"] == 95
    assert samples["tenuto_thinking_tokens_total"] == 6


@pytest.mark.parametrize("size", [1, 3])
def test_a_whole_reply_is_counted_step_by_step(chatml: Any, size: int) -> None:
    reply = CountedReply(resolved(chatml), [], 1)
    processor, queue = whole_reply(chatml, reply)
    ids, (choice,) = chatml.encode(WHOLE), reply.choices
    for begin in range(0, len(ids), size):
        new = ids[begin : begin + size]
        reason = FinishReason.STOP if begin + size >= len(ids) else None
        processor.process_outputs([EngineCoreOutput("r", new, finish_reason=reason)])
        assert choice.ids == ids[: begin + size]
        assert (choice.ended is None) == (reason is None)
    assert list(queue.output.outputs[0].token_ids) == choice.ids
    assert choice.first_thinking is not None
    assert choice.first_answer is not None
    assert choice.ended is not None
    assert choice.first_thinking < choice.first_answer <= choice.ended


def test_what_comes_after_a_stop_string_is_not_counted(chatml: Any) -> None:
    reply = CountedReply(resolved(chatml), [], 1)
    processor, queue = whole_reply(chatml, reply, stop=["y"])
    processor.process_outputs([EngineCoreOutput("r", chatml.encode(f"{START}a\n{END}\nxyz"))])
    (choice,) = reply.choices
    assert choice.ended is not None
    assert list(queue.output.outputs[0].token_ids) == choice.ids == chatml.encode(f"{START}a\n{END}\nxy")

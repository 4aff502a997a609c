"""The adapter in vLLM's own V2 model runner, on the built-in model: reports, steering, siblings, grammars, slots."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from vllm import LLM, SamplingParams
from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import StructuredOutputsParams
from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext, LogitsProcRequestState

from tenuto_decoding import ThinkingAutomaton, ThinkingBudget, compile_plan
from tenuto_decoding.gpu.slots import Rows
from tenuto_decoding.vllm_requests import REQUEST_KEY
from tenuto_decoding.vllm_v2 import ThinkingLogitsProcessor
from tenuto_decoding.worker_messages import SequenceReport, Steer
from tenuto_testing.engines import in_process_engines

BUILT_IN_MODEL = Path(__file__).parents[4] / "server/tenuto_server/s1_tiny"
EXTENSION = "tenuto_decoding.worker.ThinkingWorkerExtension"


class Watched(ThinkingLogitsProcessor):
    """Keeps the engine's last arguments, and counts the steps in which kernels were launched."""

    launches = 0
    context: LogitsContext
    requests: LogitsProcRequestState

    def __init__(self, vllm_config: Any, req_states: LogitsProcRequestState) -> None:
        super().__init__(vllm_config, req_states)
        Watched.requests = req_states

    def apply(self, logits: torch.Tensor, ctx: LogitsContext) -> torch.Tensor:
        Watched.context = ctx
        return super().apply(logits, ctx)

    def _rows(self, slots: torch.Tensor, positions: torch.Tensor, inputs: torch.Tensor) -> Rows:
        Watched.launches += 1
        return super()._rows(slots, positions, inputs)


@pytest.fixture(scope="module")
def llm() -> Iterator[LLM]:
    with in_process_engines() as engines:
        settings = {"max_model_len": 256, "max_num_seqs": 4, "worker_extension_cls": EXTENSION}
        engine = engines.start(BUILT_IN_MODEL, processor=Watched, **settings)  # type: ignore[arg-type]
        yield engine.llm


@pytest.fixture(scope="module")
def prompt(llm: LLM) -> list[int]:
    text = "<|im_start|>user\n12+34+56<|im_end|>\n<|im_start|>assistant\n"
    ids: list[int] = llm.get_tokenizer().encode(text, add_special_tokens=False)
    return ids


def generate(llm: LLM, prompt: list[int], **given: Any) -> list[list[int]]:
    """Replies to the prompt, as ids. Arguments that are no sampling parameters are the budget."""
    names = set(SamplingParams.__struct_fields__)
    budget = {name: value for name, value in given.items() if name not in names}
    parameters = SamplingParams(
        **{"temperature": 0.0, "max_tokens": 60, **{name: value for name, value in given.items() if name in names}},
        extra_args=budget or None,
    )
    (output,) = llm.generate([{"prompt_token_ids": prompt}], parameters, use_tqdm=False)
    return [list(choice.token_ids) for choice in output.outputs]


def processor(llm: LLM) -> ThinkingLogitsProcessor:
    (found,) = llm.collective_rpc(_processor)
    return found  # type: ignore[no-any-return]


def _processor(worker: Any) -> ThinkingLogitsProcessor:
    processors = worker.model_runner.sampler.logits_processors
    return next(each for each in processors if isinstance(each, ThinkingLogitsProcessor))


def follow(llm: LLM, prompt: list[int], ids: list[int], fires: list[int], **budget: Any) -> ThinkingAutomaton:
    found = processor(llm)
    plan = compile_plan(ThinkingBudget(**budget), found._markers, found._tokenizer)
    automaton = ThinkingAutomaton.after(plan, prompt)
    for position, token in enumerate(ids):
        automaton.advance(token, position in fires)
    return automaton


def reports(llm: LLM, request: str) -> list[SequenceReport]:
    """As a server gets them: through the worker extension."""
    ((found,),) = llm.collective_rpc("thinking_reports", args=([request],))
    return found  # type: ignore[no-any-return]


def test_the_report_distinguishes_waits_from_the_models_own_words(llm: LLM, prompt: list[int]) -> None:
    (ids,) = generate(llm, prompt, num_waits=2, **{REQUEST_KEY: "waits"})
    ((taken, fires, _),) = reports(llm, "waits")
    assert taken == ids[: len(taken)]
    assert len(taken) >= len(ids) - 1
    assert follow(llm, prompt, ids, fires, num_waits=2).waits == 2
    wait = llm.get_tokenizer().encode("Wait", add_special_tokens=False)[0]
    assert [ids[position] for position in fires[:2]] == [wait, wait]


def test_a_report_outlives_the_slot(llm: LLM, prompt: list[int]) -> None:
    (ids,) = generate(llm, prompt, num_waits=1, **{REQUEST_KEY: "outlived"})
    before = reports(llm, "outlived")
    for _ in range(5):
        generate(llm, prompt, max_tokens=2, max_thinking_tokens=9)
        generate(llm, prompt, max_tokens=2)
    assert reports(llm, "outlived") == before
    assert before[0][0] == ids[: len(before[0][0])]


def test_finished_requests_are_forgotten(llm: LLM, prompt: list[int]) -> None:
    """Whether or not they still have their slots; others are kept."""
    for name in ("left", "other", "last"):
        generate(llm, prompt, num_waits=1, max_tokens=20, **{REQUEST_KEY: name})
    generate(llm, prompt, num_waits=1, n=3, temperature=1.0, max_tokens=3, **{REQUEST_KEY: "siblings of one"})
    other = reports(llm, "other")
    assert [len(reports(llm, name)) for name in ("left", "last", "siblings of one")] == [1, 1, 3]
    assert llm.collective_rpc("thinking_forget", args=(["left", "siblings of one", "last", "never"],)) == [None]
    assert not any(reports(llm, name) for name in ("left", "last", "siblings of one"))
    generate(llm, prompt, num_waits=1, n=4, temperature=1.0, max_tokens=3)
    found = processor(llm)
    assert not {"left", "last", "siblings of one"} & {
        (copy.params.extra_args or {}).get(REQUEST_KEY) for copy in found._departed
    }
    assert reports(llm, "other") == other


def test_siblings_are_reported_one_by_one(llm: LLM, prompt: list[int]) -> None:
    sampled = {"temperature": 1.0, "n": 3, "seed": 5}
    replies = generate(llm, prompt, min_thinking_tokens=12, **sampled, **{REQUEST_KEY: "siblings"})
    found = reports(llm, "siblings")
    assert len(found) == 3
    for ids in replies:
        (fires,) = [fires for taken, fires, _ in found if ids[: len(taken)] == taken]
        automaton = follow(llm, prompt, ids, fires, min_thinking_tokens=12)
        assert automaton.ended_by == "length" or automaton.tokens >= 12


def test_an_unknown_request_has_no_report(llm: LLM) -> None:
    assert reports(llm, "unknown") == []


def test_without_a_budget_in_the_batch_nothing_is_launched(llm: LLM, prompt: list[int]) -> None:
    launches = Watched.launches
    generate(llm, prompt, temperature=0.7, seed=1, max_tokens=3)  # vLLM calls the processor for this batch
    assert Watched.launches == launches
    generate(llm, prompt, max_thinking_tokens=3, max_tokens=5)
    assert Watched.launches == launches + 5


def test_vllms_own_budget_is_refused_together_with_ours(llm: LLM, prompt: list[int]) -> None:
    """It would run after ours and win: validation refuses it, and the adapter asserts that it did."""
    both = {"thinking_token_budget": 5, "max_thinking_tokens": 3}
    with pytest.raises(VLLMValidationError, match="thinking_token_budget: 5 is vLLM's own budget"):
        generate(llm, prompt, **both)
    params = SamplingParams(thinking_token_budget=5, extra_args={"max_thinking_tokens": 3})
    with pytest.raises(AssertionError, match="two budgets"):
        processor(llm).add_request(0, params)


def follow_steered(llm: LLM, prompt: list[int], ids: list[int], report: SequenceReport, **budget: Any) -> Any:
    """The automaton of a reply, followed with its report."""
    found = processor(llm)
    plan = compile_plan(ThinkingBudget(**budget), found._markers, found._tokenizer)
    automaton = ThinkingAutomaton.after(plan, prompt)
    for position, token in enumerate(ids):
        for steer in report.steers:
            if steer.position == position:
                assert automaton.steer(steer.until)
        automaton.advance(token, position in report.fires)
    return automaton


def test_a_running_reply_can_be_steered(llm: LLM, prompt: list[int]) -> None:
    """Through the worker extension: twice to think on, then to answer."""
    engine, steers = llm.llm_engine, {5: (1, 75), 9: (2, 70), 30: (3, None)}
    params = SamplingParams(temperature=0, max_tokens=80, extra_args={"min_thinking_tokens": 2, REQUEST_KEY: "steered"})
    engine.add_request("steered", {"prompt_token_ids": prompt}, params)
    ids: list[int] = []
    while engine.has_unfinished_requests():
        for output in engine.step():
            ids = list(output.outputs[0].token_ids)
        if len(ids) in steers:
            assert llm.collective_rpc("thinking_steer", args=("steered", *steers[len(ids)])) == [1]
    answer = list(processor(llm)._slots._plans)[-1].end.ids
    ends = [start for start in range(len(ids)) if tuple(ids[start : start + len(answer)]) == answer]
    assert ends
    assert 30 <= ends[0] <= 30 + 1  # a newline may come first
    (report,) = reports(llm, "steered")
    assert report.ids == ids[: len(report.ids)]
    assert report.steers == [Steer(number, position, until) for position, (number, until) in steers.items()]
    automaton = follow_steered(llm, prompt, ids, report, min_thinking_tokens=2)
    assert (automaton.ended_by, automaton.min_thinking_tokens) == ("cap", 0)
    assert automaton.tokens == automaton.max_thinking_tokens
    assert llm.collective_rpc("thinking_steer", args=("unknown", 1, None)) == [0]


def test_a_loop_ends_the_thinking(llm: LLM, prompt: list[int]) -> None:
    """With waits without end, the built-in model repeats itself."""
    (ids,) = generate(llm, prompt, max_tokens=90, num_waits=99, loop_tokens=48, **{REQUEST_KEY: "loop"})
    (report,) = reports(llm, "loop")
    automaton = follow(llm, prompt, ids, report.fires, num_waits=99, loop_tokens=48)
    assert automaton.ended_by == "loop"


def test_a_grammar_takes_precedence(llm: LLM, prompt: list[int]) -> None:
    """It masks from the first token on what the budget would force; the budget then does nothing."""
    either = StructuredOutputsParams(choice=["yes", "no"])
    for budget in ({"max_thinking_tokens": 0}, {"num_waits": 2}, {"min_thinking_tokens": 9, "wait_text": ""}):
        (ids,) = generate(llm, prompt, structured_outputs=either, **budget)
        text = llm.get_tokenizer().decode(ids, skip_special_tokens=True)
        assert text in ("yes", "no")


def test_ids_without_a_token_are_never_sampled(llm: LLM, prompt: list[int]) -> None:
    """The built-in model has padded rows; a logit bias for one of them has no effect."""
    found = processor(llm)
    unknown = found._slots._unknown.tolist()[: found._slots._unknown_count]
    if not unknown:  # every row has a token
        assert len(set(llm.get_tokenizer().get_vocab().values())) == Watched.requests.vocab_size
        return
    (ids,) = generate(llm, prompt, logit_bias={unknown[0]: 100.0}, max_thinking_tokens=5)
    assert unknown[0] not in ids


def test_the_engines_buffers_are_as_simulated(llm: LLM, prompt: list[int]) -> None:
    """Types and shapes of the real buffers, which the simulated engine has as plain tensors."""
    generate(llm, prompt, max_thinking_tokens=3, max_tokens=5)
    context, requests = Watched.context, Watched.requests
    assert context.expanded_idx_mapping.dtype in (torch.int64, torch.int32)
    assert context.expanded_local_pos.dtype == torch.int32
    assert context.input_ids.dtype == torch.int32
    assert requests.all_token_ids.gpu.dtype == torch.int32
    assert requests.all_token_ids.gpu.shape == (4, 256)
    for lengths in (requests.prompt_len, requests.prefill_len, requests.total_len):
        assert lengths.gpu.dtype == torch.int32
        assert lengths.gpu.shape == (4,)
    assert {field.name for field in fields(context)} >= {"idx_mapping_np", "seq_lens_upper_bound_np"}

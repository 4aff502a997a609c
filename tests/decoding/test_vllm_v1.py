"""The V1 adapter in a simulated persistent batch: every row is edited as an automaton of its own would have it."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Qwen2Config
from vllm import EngineArgs, SamplingParams
from vllm.config import VllmConfig
from vllm.v1.sample.logits_processor import BatchUpdateBuilder

from tenuto_decoding import (
    InvalidBudget,
    UnknownMarkers,
    UnsupportedEngine,
)
from tenuto_decoding.vllm_requests import REQUEST_KEY, markers_of
from tenuto_decoding.vllm_v1 import ThinkingLogitsProcessor, check_engine
from tenuto_testing.byte_tokenizer import make_tokenizer

from .simulated_batch import PLACES, ROWS, Batch, account, replayed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, chatml: Any) -> Path:
    """Configuration and tokenizer of a model; its weights are never read."""
    path = tmp_path_factory.mktemp("model")
    chatml.save_pretrained(path)
    Qwen2Config(
        vocab_size=ROWS,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        architectures=["Qwen2ForCausalLM"],
        tenuto_thinking_family="s1",
    ).save_pretrained(path)
    return path


def configuration(folder: Path, **options: Any) -> VllmConfig:
    return EngineArgs(model=str(folder), dtype="float32", max_num_seqs=PLACES, **options).create_engine_config()


@pytest.fixture(scope="module")
def config(folder: Path) -> VllmConfig:
    return configuration(folder)


@pytest.fixture
def processor(config: VllmConfig) -> ThinkingLogitsProcessor:
    return ThinkingLogitsProcessor(config, torch.device("cpu"), False)


@pytest.mark.parametrize("seed", range(25))
def test_every_row_is_edited_as_its_own_automaton_says(
    seed: int, processor: ThinkingLogitsProcessor, chatml: Any
) -> None:
    chance = random.Random(seed)
    batch = Batch(processor, chatml, chance)
    for _ in range(60):
        batch.steer()
        batch.change()
        batch.steer()
        batch.reveal()
        batch.step()
        while chance.random() < 0.5:  # no request comes or goes
            processor.update_state(None)
            batch.reveal()
            batch.step()
    batch.reveal()
    batch.change()
    waited = steered = 0
    for request in batch.finished[-2 * PLACES :]:
        if request.automaton is not None:
            ((taken, fires, steers),) = processor.report(request.name)
            assert taken == request.tokens[: len(taken)]
            assert len(taken) >= len(request.tokens) - 1
            assert steers == [*request.steers, *request.pending]
            assert replayed(request, fires, steers) == account(request.automaton)
            waited += request.automaton.waits
            steered += len(request.steers)
    assert waited > 0
    assert steered > 0
    processor.forget([request.name for request in batch.finished])
    assert {row.request for row in processor._left} <= {request.name for request in batch.waiting}


def test_a_batch_without_budgets_is_handed_back_untouched(processor: ThinkingLogitsProcessor) -> None:
    builder = BatchUpdateBuilder()
    builder.added.append((0, SamplingParams(extra_args={"other": 1}), [1], []))
    processor.update_state(builder.get_and_reset(1))
    logits = torch.randn(1, ROWS)
    before = logits.clone()
    assert processor.apply(logits) is logits
    assert torch.equal(logits, before)


def test_plain_text_is_counted_however_it_ends(processor: ThinkingLogitsProcessor, chatml: Any) -> None:
    """By a cap, by a token that is not plain text, by a step without a token, by steering, by a report."""
    caps = (None, None, 7, None)
    outputs: list[list[int]] = [[] for _ in caps]
    prompt, builder = chatml.encode("a<|im_start|>think"), BatchUpdateBuilder()
    for place, (cap, output) in enumerate(zip(caps, outputs, strict=True)):
        fields = {"max_thinking_tokens": cap, "num_waits": 0, REQUEST_KEY: str(place)}
        builder.added.append((place, SamplingParams(temperature=0.0, extra_args=fields), prompt, output))
    processor.update_state(builder.get_and_reset(4))
    text, newline = chatml.encode("b")[0], chatml.encode("\n")[0]

    def step(*tokens: int | None) -> list[int]:
        logits = torch.zeros(4, ROWS)
        logits[:, text] = 9.0
        drawn = processor.apply(logits).argmax(1).tolist()
        for output, token in zip(outputs, tokens or drawn, strict=True):
            output += [] if token is None else [token]
        processor.update_state(None)
        return [int(each) for each in drawn]

    def taken(place: int) -> list[int]:
        ((ids, _, _),) = processor.report(str(place))
        return ids

    assert [step() for _ in range(4)] == [[text] * 4] * 4
    assert taken(0) == [text] * 3  # the last one has not been looked at
    step(text, None, text, text)
    step(newline, text, text, text)
    processor.steer("3", 1, None)
    assert step() == [text, text, text, newline]
    assert step()[:3] == [text, text, newline]  # after seven tokens
    assert [taken(place) for place in range(4)] == [output[:-1] for output in outputs]


def test_a_sequence_that_has_left_keeps_what_its_redirect_did_and_not_the_edits(
    processor: ThinkingLogitsProcessor, chatml: Any
) -> None:
    """The edits of a step can hold whole rows of logits, and many sequences that have left are kept."""
    params = SamplingParams(temperature=0.0, extra_args={"num_waits": 1, REQUEST_KEY: "left"})
    prompt, output = chatml.encode("a<|im_start|>think"), list[int]()
    builder = BatchUpdateBuilder()
    builder.added.append((0, params, prompt, output))
    processor.update_state(builder.get_and_reset(1))
    logits = torch.zeros(1, ROWS)
    logits[0, chatml.eos_token_id] = 9.0  # an attempt to stop
    wait = int(processor.apply(logits).argmax())
    builder.removed_append(0)
    processor.update_state(builder.get_and_reset(0))
    (row,) = processor._left
    assert row.redirect is True
    assert processor.report("left")[0].fires == [0]
    output.append(wait)
    builder.added.append((0, params, prompt, output))  # it comes back with the token that the redirect gave
    processor.update_state(builder.get_and_reset(1))
    processor.apply(torch.zeros(1, ROWS))
    ((_, fires, _),) = processor.report("left")
    assert (row.automaton.waits, fires) == (1, [0])


def test_siblings_of_a_parallel_sample_come_back_as_themselves(processor: ThinkingLogitsProcessor, chatml: Any) -> None:
    """They share their parameters, and the ids of one that ended early begin those of the other."""
    params = SamplingParams(temperature=0.0, extra_args={"num_waits": 1, REQUEST_KEY: "twins"})
    prompt, builder = chatml.encode("a<|im_start|>think"), BatchUpdateBuilder()
    outputs: list[list[int]] = [[], []]
    for place, output in enumerate(outputs):
        builder.added.append((place, params, prompt, output))
    processor.update_state(builder.get_and_reset(2))
    text, wait = chatml.encode("b")[0], chatml.encode("Wait")[0]

    def step(*tokens: int | None) -> torch.Tensor:
        logits = torch.zeros(2, ROWS)
        logits[1, chatml.eos_token_id] = 9.0
        edited = processor.apply(logits)
        for output, token in zip(outputs, tokens, strict=True):
            output += [] if token is None else [token]
        return edited

    step(text, text)
    step(None, wait)  # the second one tried to stop
    step(None, text)
    builder.removed_append(0)
    builder.removed_append(1)
    processor.update_state(builder.get_and_reset(0))
    builder.added.append((0, params, prompt, list(outputs[1])))
    processor.update_state(builder.get_and_reset(1))
    logits = torch.zeros(1, ROWS)
    logits[0, chatml.eos_token_id] = 9.0
    assert processor.apply(logits)[0].argmax() != wait, "its wait was given before it left"


def test_what_is_over_is_kept_neither_when_it_has_left_nor_when_it_leaves(
    processor: ThinkingLogitsProcessor, chatml: Any
) -> None:
    """A server reports them; the state of preempted sequences is kept."""
    builder, prompt = BatchUpdateBuilder(), chatml.encode("a<|im_start|>think")
    all_params = {
        name: SamplingParams(temperature=0.0, extra_args={"num_waits": 1, REQUEST_KEY: name})
        for name in ("ended", "aborted", "preempted")
    }
    wait, output = chatml.encode("Wait")[0], list[int]()
    logits = torch.zeros(3, ROWS)
    logits[:, chatml.eos_token_id] = 9.0
    for place, (name, params) in enumerate(all_params.items()):
        builder.added.append((place, params, prompt, output if name == "preempted" else []))
    processor.update_state(builder.get_and_reset(3))
    assert processor.apply(logits.clone())[2].argmax() == wait
    output.append(wait)
    processor.apply(logits.clone())
    builder.removed_append(0)
    builder.removed_append(2)
    processor.update_state(builder.get_and_reset(2))
    assert len(processor.report("ended")) == 1
    processor.forget(["ended", "aborted", "never"])
    assert processor.report("ended") == []
    processor.apply(logits[:2].clone())  # the one that was aborted is still in the batch
    builder.removed_append(1)
    processor.update_state(builder.get_and_reset(0))
    assert [row.request for row in processor._left] == ["preempted"]
    builder.added.append((0, all_params["preempted"], prompt, list(output)))
    processor.update_state(builder.get_and_reset(1))
    assert processor.apply(logits[:1].clone())[0].argmax() != wait, "its wait was given before it left"


def test_a_wrong_budget_is_refused_when_the_request_arrives() -> None:
    with pytest.raises(InvalidBudget, match="max_thinking_tokens"):
        ThinkingLogitsProcessor.validate_params(SamplingParams(extra_args={"max_thinking_tokens": -2}))
    with pytest.raises(InvalidBudget, match="thinking_token_budget: 5 is vLLM's own budget"):
        ThinkingLogitsProcessor.validate_params(
            SamplingParams(thinking_token_budget=5, extra_args={"max_thinking_tokens": 2})
        )
    ThinkingLogitsProcessor.validate_params(SamplingParams(extra_args={"max_thinking_tokens": 2}))
    ThinkingLogitsProcessor.validate_params(SamplingParams())


def test_a_grammar_takes_precedence(processor: ThinkingLogitsProcessor, chatml: Any) -> None:
    """A token that a grammar has masked stays masked, even at the cap."""
    from vllm.sampling_params import StructuredOutputsParams

    params = SamplingParams(
        structured_outputs=StructuredOutputsParams(regex="b*"), extra_args={"max_thinking_tokens": 0}
    )
    builder = BatchUpdateBuilder()
    builder.added.append((0, params, chatml.encode("a<|im_start|>think"), []))
    processor.update_state(builder.get_and_reset(1))
    logits = torch.full((1, ROWS), -torch.inf)
    logits[0, 5] = 1.0
    assert processor.apply(logits)[0].argmax() == 5


def test_with_our_parser_no_grammar_masks_thinking(folder: Path, chatml: Any) -> None:
    """A token masked there was masked by bad_words, allowed_token_ids or min_tokens, and a budget wins over those."""
    from vllm.sampling_params import StructuredOutputsParams

    parser = {"reasoning_parser": "tenuto", "reasoning_parser_plugin": "tenuto_server.reasoning"}
    config = configuration(folder, structured_outputs_config=parser)
    processor = ThinkingLogitsProcessor(config, torch.device("cpu"), False)
    params = SamplingParams(
        structured_outputs=StructuredOutputsParams(regex="b*"), extra_args={"max_thinking_tokens": 0}
    )
    builder = BatchUpdateBuilder()
    builder.added.append((0, params, chatml.encode("a<|im_start|>think\n"), []))
    processor.update_state(builder.get_and_reset(1))
    logits = torch.full((1, ROWS), -torch.inf)
    logits[0, 5] = 1.0
    assert processor.apply(logits)[0].argmax() == chatml.encode("<|im_start|>")[0]
    assert not logits.isnan().any()


def test_speculative_decoding_is_refused_before_the_model_is_loaded(config: VllmConfig, folder: Path) -> None:
    check_engine(config)
    speculative = configuration(
        folder,
        speculative_config={"method": "ngram", "num_speculative_tokens": 2, "prompt_lookup_max": 2},
    )
    with pytest.raises(UnsupportedEngine, match="--speculative-config"):
        check_engine(speculative)


def test_markers_come_from_the_configuration_or_the_tokenizer(folder: Path, tmp_path: Path) -> None:
    assert markers_of(configuration(folder)).family == "s1"
    assert markers_of(configuration(folder, additional_config={"thinking": {"family": "seed"}})).family == "seed"
    given = configuration(folder, additional_config={"thinking": {"start": "[[", "end": "]]"}})
    assert (markers_of(given).start, markers_of(given).end) == ("[[", "]]")
    make_tokenizer("{{ messages }}").save_pretrained(tmp_path)
    plain = Qwen2Config.from_pretrained(folder)
    del plain.tenuto_thinking_family
    plain.save_pretrained(tmp_path)
    with pytest.raises(UnknownMarkers):
        ThinkingLogitsProcessor(configuration(tmp_path), torch.device("cpu"), False)

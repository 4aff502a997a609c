"""The model in the repository: its size, its recorded results, and how it thinks."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

from tenuto_training.formats import ANSWER, IM_END, IM_START, THINK, prompt
from tenuto_training.tiny.model_folder import WEIGHTS, weights_sha256
from tenuto_training.tiny.resuming import Resumer
from tenuto_training.tiny.scaling import Scaling, ScalingRow, extract_total, missed_targets
from tenuto_training.tiny.settings import TrainingSettings
from tenuto_training.tiny.task import CHUNK, Bill, Item, held_out_bills
from tenuto_training.tiny.traces import chunks


@pytest.fixture(scope="module")
def figures(committed: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((committed / "figures.json").read_text())
    return content


@pytest.fixture(scope="module")
def resumer(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> Resumer:
    return Resumer(model, tokenizer)


def test_it_is_a_small_qwen2_with_a_context_of_4096_or_more(committed: Path, model: Qwen2ForCausalLM) -> None:
    assert (committed / WEIGHTS).stat().st_size <= 4_000_000
    config = json.loads((committed / "config.json").read_text())
    assert config["architectures"] == ["Qwen2ForCausalLM"]
    assert config["max_position_embeddings"] >= 4096
    assert config["tenuto_thinking_family"] == model.config.tenuto_thinking_family == "s1"
    assert model.num_parameters() < 2_000_000


def test_its_embedding_has_few_rows_beyond_the_vocabulary(
    model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    assert 0 < model.config.vocab_size - len(tokenizer) < 64


def test_its_results_are_those_of_its_weights_and_of_the_default_settings(
    committed: Path, figures: dict[str, Any]
) -> None:
    assert figures["command"] == "tenuto train tiny"
    assert TrainingSettings(**figures["settings"]) == TrainingSettings()
    assert figures["weights_sha256"] == weights_sha256(committed)


def test_its_results_reach_every_target(figures: dict[str, Any]) -> None:
    waits, caps = (tuple(ScalingRow(**row) for row in figures["scaling"][name]) for name in ("waits", "caps"))
    assert missed_targets(Scaling(waits, caps)) == []


def test_its_problems_are_the_held_out_ones(committed: Path) -> None:
    lines = [json.loads(line) for line in (committed / "problems.jsonl").read_text().splitlines()]
    assert len(lines) >= 400
    assert lines == [{"question": bill.question(), "answer": str(bill.total)} for bill in held_out_bills(len(lines))]


def test_each_wait_adds_one_more_chunk(resumer: Resumer) -> None:
    bills = [bill for bill in held_out_bills(100) if len(bill.items) == 8][:4]
    prompts = [prompt(bill.question(), system=None) for bill in bills]
    rounds = resumer.think(prompts, waits=3)
    for waits, thinking in enumerate(rounds):
        reached = [sum(item.price for item in bill.items[: CHUNK * (waits + 1)]) for bill in bills]
        assert [extract_total(answer) for answer in resumer.answer(prompts, thinking)] == reached
        assert all(one.ended for one in thinking)


def test_its_thinking_is_readable(resumer: Resumer, tokenizer: PreTrainedTokenizerFast) -> None:
    bill = next(bill for bill in held_out_bills(100) if len(bill.items) == 5)
    first, second = chunks(bill)
    (thinking,) = resumer.think([prompt(bill.question(), system=None)], waits=2)[-1]
    assert tokenizer.decode(thinking.ids) == (
        f"\n{first}Wait, there is more on the bill.\n{second}Wait, that was the last item. The total is {bill.total}.\n"
    )


def test_a_cut_is_followed_by_the_total_so_far(resumer: Resumer) -> None:
    bill = next(bill for bill in held_out_bills(100) if len(bill.items) >= 6)
    question = prompt(bill.question(), system=None)
    (thinking,) = resumer.think([question], waits=0)[0]
    first = bill.items[0].price
    cuts = [thinking.capped(0), thinking.capped(5), thinking.capped(20)]
    assert [extract_total(answer) for answer in resumer.answer([question] * 3, cuts)] == [0, 0, first]


def test_it_thinks_and_answers_without_forcing(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    bill = Bill((Item("tea", 4), Item("soup", 7)))
    ids = tokenizer(prompt(bill.question(), system=None), return_tensors="pt").input_ids
    text = tokenizer.decode(model.generate(ids, max_new_tokens=80)[0, ids.shape[1] :])
    assert text == f"{THINK}\n{chunks(bill)[0]}{ANSWER}\nAnswer: 11{IM_END}"


def test_resuming_in_batches_equals_one_forward_pass_a_token(
    model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, resumer: Resumer
) -> None:
    """Without cache, padding or `generate`: a forward pass over the whole text for every token."""
    bills = held_out_bills(3)
    prompts = [prompt(bill.question(), system=None) for bill in bills]
    rounds = resumer.think(prompts, waits=1)
    stops = tokenizer.convert_tokens_to_ids([IM_START, IM_END])
    for index, question in enumerate(prompts):
        opened = tokenizer.encode(question + THINK)
        ids: list[int] = []
        for waits in (0, 1):
            ids += tokenizer.encode("Wait") * waits
            while (token := next_token(model, opened + ids)) not in stops:
                ids.append(token)
            assert rounds[waits][index].ids == ids


def next_token(model: Qwen2ForCausalLM, ids: list[int]) -> int:
    with torch.inference_mode():
        return int(model(torch.tensor([ids])).logits[0, -1].argmax())


@pytest.mark.parametrize("text", ["", "Hello!", "\x00\ud7ff 漢字", "Add up this bill: ", "9 " * 50])
def test_other_text_does_not_break_it(resumer: Resumer, text: str) -> None:
    thinking = resumer.think([prompt(text, system=None)], waits=1)[-1]
    assert resumer.answer([prompt(text, system=None)], thinking)[0]

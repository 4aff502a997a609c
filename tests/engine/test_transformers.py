"""With the adapter for `transformers`, a model writes what it writes with the adapter for vLLM."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from tenuto_decoding import ThinkingBudget, UnsupportedEngine
from tenuto_decoding.huggingface import _DEFAULTS, ThinkingLogitsProcessor
from tenuto_testing.cases import draw_cases, families
from tenuto_testing.comparison import is_tie, one_pass
from tenuto_testing.engines import Engine

CASES = 24  # for each family, in one batch
SEED = 7


@pytest.mark.parametrize("name", ["s1-like, two tokens", "think-like, one token", "spelt, A A B"])
def test_generate_writes_what_vllm_writes(name: str, engine: Engine, small_model: Path, tally: list[str]) -> None:
    family = families()[name]
    cases = draw_cases(family, CASES, SEED)
    expected = one_pass(engine, family, cases)

    tokenizer = AutoTokenizer.from_pretrained(small_model)
    model = AutoModelForCausalLM.from_pretrained(small_model, dtype=torch.float32).eval()
    budgets = [ThinkingBudget.from_mapping(case.fields) for case in cases]
    thinking = ThinkingLogitsProcessor(budgets, tokenizer, family.markers, do_sample=False)
    prompts = tokenizer.pad(
        {"input_ids": [list(case.prompt) for case in cases]}, padding_side="left", return_tensors="pt"
    )
    length = prompts["input_ids"].shape[1]
    output = model.generate(
        **prompts, do_sample=False, max_new_tokens=max(case.limit for case in cases), logits_processor=[thinking]
    )
    reports = thinking.reports(output)

    ties = complete = 0
    for case, (ids, figures), row, report in zip(cases, expected, output[:, length:].tolist(), reports, strict=True):
        written = tuple(row[: len(ids)])
        if written != ids and is_tie(engine, case.prompt, ids, written):
            ties += 1
            continue
        assert written == ids, case.fields
        if ids[-1] in family.form.finish:  # complete; otherwise generate() went on for the others
            complete += 1
            assert (report.tokens, report.waits, report.ended_by) == figures, case.fields
    assert ties <= 1
    assert complete >= 3
    tally.append(f"transformers, {name}: {CASES - ties} of {CASES} cases equal, {ties} skipped because of a tie")


def test_sequences_without_a_budget_are_not_changed(small_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(small_model)
    model = AutoModelForCausalLM.from_pretrained(small_model, dtype=torch.float32).eval()
    prompts = torch.tensor([[3, 4, 5, 6], [7, 8, 9, 10]])
    plain = model.generate(prompts, do_sample=False, max_new_tokens=20)
    markers = families()["think-like, one token"].markers
    thinking = ThinkingLogitsProcessor([None, None], tokenizer, markers, do_sample=False)
    assert torch.equal(model.generate(prompts, do_sample=False, max_new_tokens=20, logits_processor=[thinking]), plain)


@pytest.mark.parametrize("way", ["given", "in the tokenizer's folder", "given to generate"])
def test_every_token_at_which_generate_ends_a_reply_ends_thinking_instead(
    way: str, small_model: Path, tmp_path: Path
) -> None:
    """The generation configurations of GLM and gpt-oss name several; the tokenizer knows one of them."""
    model = AutoModelForCausalLM.from_pretrained(small_model, dtype=torch.float32).eval()
    family = families()["think-like, one token"]
    (start,), (end,) = family.form.start, family.form.end
    prompt = torch.tensor([[3, 4, 5, start]])
    other = int(model.generate(prompt, do_sample=False, max_new_tokens=1)[0, -1])  # what the model writes first
    config = GenerationConfig(eos_token_id=[model.config.eos_token_id, other])
    tokenizer = AutoTokenizer.from_pretrained(small_model)
    if way == "in the tokenizer's folder":
        tokenizer.save_pretrained(tmp_path)
        config.save_pretrained(tmp_path)
        tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    options = {
        "given": {"generation_config": config},
        "in the tokenizer's folder": {},
        "given to generate": {"eos_token_id": config.eos_token_id},
    }[way]
    thinking = ThinkingLogitsProcessor(
        ThinkingBudget(max_thinking_tokens=9), tokenizer, family.markers, do_sample=False, **options
    )
    output = model.generate(
        prompt, generation_config=config, do_sample=False, max_new_tokens=4, logits_processor=[thinking]
    )
    assert output[0, 4] == end
    assert [report.ended_by for report in thinking.reports(output)] == ["stop_token"]


def test_what_is_not_set_is_what_generate_takes() -> None:
    taken = GenerationConfig._get_default_generation_params()
    assert {name: value for name, value in _DEFAULTS.items() if name in taken} == {
        name: value for name, value in taken.items() if name in _DEFAULTS
    }
    assert {"do_sample", "temperature", "top_k", "top_p"} <= set(taken)


def processor(model: Path) -> ThinkingLogitsProcessor:
    tokenizer = AutoTokenizer.from_pretrained(model)
    markers = families()["think-like, one token"].markers
    return ThinkingLogitsProcessor(ThinkingBudget(max_thinking_tokens=4), tokenizer, markers, do_sample=False)


def test_beam_search_is_refused(small_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(small_model, dtype=torch.float32).eval()
    with pytest.raises(UnsupportedEngine, match="beam search"):
        model.generate(
            torch.tensor([[3, 4, 5, 6]]),
            do_sample=False,
            num_beams=4,
            max_new_tokens=30,
            logits_processor=[processor(small_model)],
        )


def test_a_second_call_is_refused(small_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(small_model, dtype=torch.float32).eval()
    used = processor(small_model)
    model.generate(torch.tensor([[3, 4, 5]]), do_sample=False, max_new_tokens=3, logits_processor=[used])
    with pytest.raises(UnsupportedEngine, match="a processor of its own"):
        model.generate(torch.tensor([[3, 4, 5]]), do_sample=False, max_new_tokens=3, logits_processor=[used])


def test_a_wrong_number_of_budgets_is_refused(small_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(small_model)
    markers = families()["think-like, one token"].markers
    thinking = ThinkingLogitsProcessor([ThinkingBudget(), None], tokenizer, markers)
    with pytest.raises(UnsupportedEngine, match="2 budgets were given for 1 sequences"):
        thinking(torch.tensor([[3, 4, 5]]), torch.zeros(1, 32))

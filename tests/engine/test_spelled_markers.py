"""Markers that a real vocabulary spells in ordinary text, on vLLM's V1 model runner and in `transformers`.

A processor before the budget's makes the model want the tokens of a scripted reply; what is written in the end is what
the automaton alone makes of that.
"""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch
from transformers import LogitsProcessor, Qwen2ForCausalLM
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import AdapterLogitsProcessor

from tenuto_decoding import ThinkingBudget
from tenuto_decoding.huggingface import ThinkingLogitsProcessor
from tenuto_decoding.vllm_requests import REQUEST_KEY
from tenuto_testing.engines import Engines
from tenuto_testing.random_model import save, widened
from tenuto_testing.spelled_markers import SpelledCase, SpelledMarkers, check, draw_case, spelled_markers

ROWS = 152_064
REQUESTS, LENGTH = 60, 36
#: Key of `extra_args` for the tokens that the model wants to write.
WANTED = "wanted"


class WantedTokens(AdapterLogitsProcessor):
    """On vLLM: the model wants the tokens that the request gives."""

    def is_argmax_invariant(self) -> bool:
        return False

    def new_req_logits_processor(self, params: SamplingParams) -> Callable[[list[int], torch.Tensor], torch.Tensor]:
        wanted: list[int] = (params.extra_args or {})[WANTED]

        def process(output: list[int], logits: torch.Tensor) -> torch.Tensor:
            logits.zero_()
            logits[wanted[len(output)]] = 9.0
            return logits

        return process


class WantedTokensOfEach(LogitsProcessor):
    """In `transformers`: the same for each sequence, after a prompt of that length."""

    def __init__(self, wanted: list[list[int]], length: int) -> None:
        self._wanted, self._length = wanted, length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        at = input_ids.shape[1] - self._length
        made = torch.zeros_like(scores)
        for row, wanted in enumerate(self._wanted):
            made[row, wanted[min(at, len(wanted) - 1)]] = 9.0
        return made


@pytest.fixture(scope="module")
def setting() -> SpelledMarkers:
    return spelled_markers("think, Qwen2.5")


@pytest.fixture(scope="module")
def wide() -> Qwen2ForCausalLM:
    """A random model; what it wants is replaced, so its weights do not matter."""
    return widened(ROWS, range(32))


@pytest.fixture(scope="module")
def cases(setting: SpelledMarkers) -> list[SpelledCase]:
    """Replies in which no token was masked: what is written there instead is not up to the script."""
    chance = Random(11)
    drawn = [draw_case(setting, chance) for _ in range(REQUESTS)]
    kept = [case for case in drawn if not case.written.masked and len(case.written.ids) <= LENGTH]
    assert len(kept) > REQUESTS / 4
    endings = {case.written.automaton.ended_by for case in kept}
    assert endings >= {"cap", "model"}
    return kept


def test_on_vllm(
    setting: SpelledMarkers, cases: list[SpelledCase], wide: Qwen2ForCausalLM, engines: Engines, tmp_path: Path
) -> None:
    folder = save(tmp_path, wide, setting.tokenizer, setting.tokenizer.eos_token_id)
    engine = engines.start(folder, markers=setting.markers, logits_processors=[WantedTokens])
    replies = engine.ids(
        [case.prompt for case in cases],
        [
            SamplingParams(
                temperature=0,
                max_tokens=len(case.written.ids),
                detokenize=False,
                extra_args={**case.fields, REQUEST_KEY: "spelled", WANTED: case.written.wanted},
            )
            for case in cases
        ],
    )
    for case, ids in zip(cases, replies, strict=True):
        assert list(ids) == case.written.ids, setting.tokenizer.decode(ids)
        check(setting, case.written, case.answer)


def test_in_transformers(setting: SpelledMarkers, cases: list[SpelledCase], wide: Qwen2ForCausalLM) -> None:
    (length,) = {len(case.prompt) for case in cases}
    thinking = ThinkingLogitsProcessor(
        [ThinkingBudget.from_mapping(case.fields) for case in cases],
        setting.tokenizer,
        setting.markers,
        do_sample=False,
        eos_token_id=setting.tokenizer.eos_token_id,
    )
    wanted = WantedTokensOfEach([case.written.wanted for case in cases], length)
    output = wide.generate(
        torch.tensor([case.prompt for case in cases]),
        do_sample=False,
        max_new_tokens=max(len(case.written.ids) for case in cases),
        pad_token_id=setting.tokenizer.pad_token_id,
        eos_token_id=None,
        logits_processor=[wanted, thinking],
    )
    for case, row, report in zip(cases, output[:, length:].tolist(), thinking.reports(output), strict=True):
        assert row[: len(case.written.ids)] == case.written.ids, setting.tokenizer.decode(row)
        automaton = case.written.automaton
        assert (report.tokens, report.waits, report.ended_by) == (
            automaton.tokens,
            automaton.waits,
            automaton.ended_by,
        )

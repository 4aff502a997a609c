"""Structured output with budgets, offline: with our reasoning parser the grammar applies after the thinking."""

import re
from pathlib import Path
from typing import Any

import pytest
from vllm import SamplingParams
from vllm.sampling_params import StructuredOutputsParams

from tenuto_testing.engines import Engine, Engines
from tenuto_testing.thinker_model import save_thinker

PARSER = {"reasoning_parser": "tenuto", "reasoning_parser_plugin": "tenuto_server.reasoning"}
PATTERN = "[ab]{3}-[cd]"
STOP = "<[|](?:im_end|endoftext)[|]>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_thinker(tmp_path_factory.mktemp("thinker"))


@pytest.fixture
def no_markers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server would set them in the environment; offline they are detected."""
    monkeypatch.delenv("TENUTO_THINKING_MARKERS", raising=False)


def texts(engine: Engine, prompt: str, **more: Any) -> list[str]:
    tokenizer = engine.llm.get_tokenizer()
    parameters = SamplingParams(
        **{"n": 4, "seed": 1, "max_tokens": 120, "skip_special_tokens": False, **more},
        structured_outputs=StructuredOutputsParams(regex=PATTERN),
    )
    (reply,) = engine.generate([tuple(tokenizer.encode(prompt))], parameters)
    return [tokenizer.decode(each.token_ids) for each in reply.outputs]


CHAT = "<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.usefixtures("no_markers")
def test_a_grammar_applies_after_the_thinking(engines: Engines, folder: Path) -> None:
    engine = engines.start(folder, structured_outputs_config=PARSER)
    tokenizer = engine.llm.get_tokenizer()
    end = tokenizer.convert_tokens_to_ids("</think>")
    budgets: tuple[dict[str, Any], ...] = (
        {"max_thinking_tokens": 0},
        {"max_thinking_tokens": 6, "cap_text": ""},
        {"max_thinking_tokens": 40, "min_thinking_tokens": 12, "cap_text": "\nso.\n"},
        {"num_waits": 1, "max_thinking_tokens": 60},
    )
    for budget in budgets:
        for masked in ({}, {"bad_words": ["</think>", "Wait"]}):
            for text in texts(engine, CHAT, extra_args=budget, **masked):
                found = re.fullmatch(f"(?:<think>(.*))?</think>({PATTERN}){STOP}", text, re.DOTALL)
                assert found is not None, text
                thinking = found[1] or ""
                assert len(tokenizer.encode(thinking)) >= budget.get("min_thinking_tokens", 0)
                # A line break before a forced end does not count.
                assert len(tokenizer.encode(thinking.removesuffix("\n"))) <= max(budget["max_thinking_tokens"], 1)
                assert budget["max_thinking_tokens"] or thinking == "\n\n", "the template's own form"
        for text in texts(engine, f"{CHAT}<think>\n", extra_args=budget):
            assert re.fullmatch(f".*</think>{PATTERN}{STOP}", text, re.DOTALL)
    assert end not in tokenizer.encode(CHAT)


def test_without_a_reasoning_parser_the_grammar_takes_precedence(engines: Engines, folder: Path) -> None:
    """Then it applies from the first token on, as in vLLM, and the budget does not interfere."""
    engine = engines.start(folder)
    for budget in ({"max_thinking_tokens": 0}, {"max_thinking_tokens": 6}, {"num_waits": 2}):
        for text in texts(engine, CHAT, extra_args=budget):
            assert re.fullmatch(f"{PATTERN}{STOP}", text)

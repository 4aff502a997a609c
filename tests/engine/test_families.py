"""Every family of markers on the real engine: its thinking is opened, counted and closed in the family's own tokens."""

from dataclasses import asdict

import pytest
from vllm import SamplingParams

from tenuto_decoding import FAMILIES
from tenuto_testing.engines import Engine, Engines
from tenuto_testing.family_models import save_family

FLOOR, CAP = 8, 16


@pytest.fixture(scope="module")
def every_family(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A model whose vocabulary has the tokens of all families."""
    given = {"thinking": asdict(FAMILIES["think"])}
    return engines.start(save_family(tmp_path_factory.mktemp("families"), *FAMILIES), additional_config=given)


@pytest.mark.parametrize("family", FAMILIES)
def test_thinking_is_opened_counted_and_closed(family: str, every_family: Engine) -> None:
    engine, markers = every_family, FAMILIES[family]
    engine.use(markers)
    tokenizer = engine.llm.get_tokenizer()

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
        return ids

    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "a"}], add_generation_prompt=True, tokenize=False
    )
    budget = {"min_thinking_tokens": FLOOR, "max_thinking_tokens": CAP, "cap_text": ""}
    params = SamplingParams(temperature=0, max_tokens=96, ignore_eos=True, extra_args=budget)
    (reply,) = engine.ids([tuple(encode(prompt))], params)
    start, end = encode(markers.start), encode(markers.end)
    assert list(reply[: len(start)]) == start
    rest = list(reply[len(start) :])
    ends = next(place for place in range(len(rest)) if rest[place : place + len(end)] == end)
    newline = 1 if markers.newline_before_end and ends > CAP else 0
    assert FLOOR <= ends - newline <= CAP
    if ends - newline == CAP:
        after = encode(markers.answer_prefix)
        assert rest[ends + len(end) :][: len(after)] == after

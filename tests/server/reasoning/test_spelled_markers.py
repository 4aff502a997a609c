"""Where a real vocabulary spells the markers, one token may complete a marker and begin the next one."""

from random import Random

import pytest

from tenuto_decoding.prompt import Phase
from tenuto_server.reasoning.content_tokens import ContentTokens
from tenuto_testing.random_model import Ids
from tenuto_testing.scripted_model import tokenizers
from tenuto_testing.spelled_markers import SpelledMarkers, spelled_markers
from tenuto_testing.spelled_stories import mixed

STORIES = 150


@pytest.fixture(scope="module", params=["think, Qwen2.5", "granite, Qwen2.5"])
def setting(request: pytest.FixtureRequest) -> SpelledMarkers:
    return spelled_markers(request.param)


def content(setting: SpelledMarkers, ids: Ids, phase: Phase) -> Ids:
    """The tokens of the answer, found one after the other."""
    tokens = ContentTokens(setting.plan(), phase)
    found = [placed for at, token in enumerate(ids, 1) for placed in tokens.take([token], last=at == len(ids))]
    return tuple(token for _, token in found)


def test_the_tokens_of_the_answer_are_those_of_the_decoded_text(setting: SpelledMarkers) -> None:
    chance = Random(1)
    for _ in range(STORIES):
        opened, tokenize = chance.random() < 0.5, chance.choice(tokenizers(setting.tokenizer, chance))
        text = mixed(chance, setting.starts + setting.ends, 10)
        if opened or not text.startswith(setting.ends):
            ids = tokenize(text)
            found = content(setting, ids, Phase.THINKING if opened else Phase.BEFORE)
            assert found == setting.decoded.content(ids, thinks=opened), text


def test_an_answer_follows_thinking_without_a_token() -> None:
    """Of `<think></think>`, the token `></` ends the first marker and begins the second, which was not seen."""
    setting = spelled_markers("think, Qwen2.5")
    ids = setting.ids("<think></think>7")
    assert setting.tokenizer.decode([ids[2]]) == "></"
    assert setting.tokenizer.decode(content(setting, ids, Phase.BEFORE)) == "7"

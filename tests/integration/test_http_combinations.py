"""Every sampling parameter with every kind of budget, on the built-in model: the budget stays exact, and so does the
report; what cannot be is a 400 that names both.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from tenuto_testing.reply_counter import ReplyCounter
from tenuto_testing.servers import MODEL, RunningServer

COUNTER = ReplyCounter()
MARKER = COUNTER.encode("<|im_start|>")[0]
EQUALS, NEWLINE = COUNTER.encode(" =")[0], COUNTER.encode("\n")[0]
DIGITS = [COUNTER.encode(digit)[0] for digit in "0123456789"]

BUDGETS: Sequence[dict[str, Any]] = (
    {"max_thinking_tokens": 12},
    {"max_thinking_tokens": 60, "num_waits": 2, "min_thinking_tokens": 30},
)
#: Parameters, by what is remarkable about them.
EXTRAS: Mapping[str, dict[str, Any]] = {
    "several seeded samples": {"temperature": 1.2, "seed": 3, "n": 3},
    "logprobs": {"logprobs": True, "top_logprobs": 4},
    "prompt_logprobs": {"prompt_logprobs": 2},
    "presence and frequency": {"presence_penalty": 1.5, "frequency_penalty": 1.0, "temperature": 1.0, "seed": 1},
    "repetition": {"repetition_penalty": 1.3},
    "the end is disliked": {"logit_bias": {str(MARKER): -100}},
    "the end is liked": {"logit_bias": {str(MARKER): 100}},
    "the wait is a bad word": {"bad_words": ["Wait"]},
    "the end is a bad word": {"bad_words": ["<|im_start|>"]},
    "the answer's prefix is a bad word": {"bad_words": ["Final", "Answer", ":"]},
    "only digits": {"allowed_token_ids": DIGITS},
    "min_tokens": {"min_tokens": 150, "max_tokens": 220},
    "filters": {"temperature": 1.0, "seed": 2, "top_k": 5, "top_p": 0.9, "min_p": 0.05},
    "a stop string of the thinking": {"stop": ["+", "="]},
    "a stop string of the wait": {"stop": ["Wait"]},
    "a stop string of the answer's prefix": {"stop": ["Final", "\nF"], "include_stop_str_in_output": True},
    "a stop string and min_tokens": {"stop": ["1"], "min_tokens": 90},
    "a stop token of the thinking": {"stop_token_ids": [EQUALS]},
    "ignore_eos": {"ignore_eos": True, "max_tokens": 150},
    "a regex": {"structured_outputs": {"regex": "[0-9]{3}"}},
    "any JSON": {"response_format": {"type": "json_object"}, "max_tokens": 150},
}


def ask(question: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}]
    return {"model": MODEL, "messages": messages, "temperature": 0, "max_tokens": 400, "return_token_ids": True, **more}


def replies(server: RunningServer, question: str, **more: Any) -> list[dict[str, Any]]:
    response = server.chat(**ask(question, **more))
    assert response.status_code == 200, response.text
    for number in numbers(response.json()):
        assert math.isfinite(number)
    choices: list[dict[str, Any]] = response.json()["choices"]
    return choices


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, Mapping):
        for part in value.values():
            yield from numbers(part)
    elif isinstance(value, list):
        for part in value:
            yield from numbers(part)
    elif isinstance(value, float):
        yield value


@pytest.mark.parametrize("budget", BUDGETS, ids=["cap", "waits"])
@pytest.mark.parametrize("extra", EXTRAS.values(), ids=EXTRAS.keys())
def test_a_budget_with_another_parameter_is_kept_and_reported(
    server: RunningServer, questions: list[str], extra: dict[str, Any], budget: dict[str, Any]
) -> None:
    cap = budget["max_thinking_tokens"]
    for choice in replies(server, questions[0], **{**budget, **extra}):
        thinking, ids = choice["thinking"], choice["token_ids"]
        assert ids[: len(COUNTER.start)] == COUNTER.start
        assert thinking["tokens"] == COUNTER.count(ids, cap) <= cap
        assert thinking["ended_by"] in ("cap", "model", "stop_token")
        if thinking["ended_by"] != "cap":
            assert thinking["tokens"] >= budget.get("min_thinking_tokens", 0)
            assert thinking["waits"] >= budget.get("num_waits", 0)
        else:
            assert thinking["tokens"] == cap
        assert COUNTER.find(ids, COUNTER.end) > 0, "there is an answer"


def one(server: RunningServer, question: str, **more: Any) -> dict[str, Any]:
    (choice,) = replies(server, question, **more)
    return choice


def test_forced_tokens_take_precedence_over_masks(server: RunningServer, questions: list[str]) -> None:
    """Waits, end markers and prefixes are forced even if they are masked; the rest of the reply obeys the mask."""
    waits = {"max_thinking_tokens": 300, "num_waits": 2}
    text = one(server, questions[0], **waits, bad_words=["Wait"])["message"]["reasoning"]
    assert text.count("Wait") == 2
    plain = one(server, questions[0], **waits)
    assert plain["message"]["reasoning"].startswith(text[: text.index("Wait")])

    choice = one(server, questions[0], max_thinking_tokens=12, allowed_token_ids=DIGITS, max_tokens=60)
    assert re.fullmatch("[0-9]{12}\n", choice["message"]["reasoning"])
    assert re.fullmatch("\nFinal Answer:[0-9]+", choice["message"]["content"])
    assert choice["thinking"]["ended_by"] == "cap"


def test_stop_strings_apply_to_the_answer_only(server: RunningServer, questions: list[str]) -> None:
    for budget in ({}, {"max_thinking_tokens": 12}, {"num_waits": 1}):
        plain = one(server, questions[0], **budget)
        stopped = one(server, questions[0], **budget, stop=["+", "\n<", "Wait", "Final"])
        assert "+" in stopped["message"]["reasoning"]
        assert stopped["message"] == plain["message"]
        assert stopped["finish_reason"] == "stop"
        assert stopped["stop_reason"] is None

        digit = re.search("[0-9]", plain["message"]["content"])
        assert digit is not None
        stopped = one(server, questions[0], **budget, stop=[digit[0]])
        assert stopped["message"]["content"] == plain["message"]["content"][: digit.start()]
        assert stopped["message"]["reasoning"] == plain["message"]["reasoning"]
        assert stopped["stop_reason"] == digit[0]


def test_a_stop_token_ends_the_thinking(server: RunningServer, questions: list[str]) -> None:
    choice = one(server, questions[0], max_thinking_tokens=300, stop_token_ids=[EQUALS])
    assert choice["thinking"]["ended_by"] == "stop_token"
    assert "=" not in choice["message"]["reasoning"]
    assert choice["token_ids"].count(EQUALS) <= 1, "only in the answer, where it ends the reply"
    unbounded = one(server, questions[0], stop_token_ids=[EQUALS])
    assert unbounded["thinking"]["ended_by"] == "stop_token", "vLLM ended the reply while thinking"
    waited = one(server, questions[0], max_thinking_tokens=300, num_waits=1, stop_token_ids=[EQUALS])
    assert waited["message"]["reasoning"].count("Wait") == waited["thinking"]["waits"] == 1


def test_the_end_of_thinking_may_end_the_reply(server: RunningServer, questions: list[str]) -> None:
    for budget in ({"max_thinking_tokens": 12}, {"num_waits": 1, "max_thinking_tokens": 200}):
        choice = one(server, questions[0], **budget, stop_token_ids=COUNTER.end[-1:])
        assert choice["token_ids"][-len(COUNTER.end) :] == COUNTER.end
        assert choice["finish_reason"] == "stop"
        assert choice["message"]["content"] is None
        assert choice["thinking"]["ended_by"] in ("cap", "model")


def test_the_total_length_is_as_requested(server: RunningServer, questions: list[str]) -> None:
    choice = one(server, questions[0], max_thinking_tokens=12, ignore_eos=True, max_tokens=100)
    assert (len(choice["token_ids"]), choice["finish_reason"]) == (100, "length")
    assert choice["thinking"]["tokens"] == 12
    choice = one(server, questions[0], max_thinking_tokens=12, min_tokens=80, max_tokens=100)
    assert 80 <= len(choice["token_ids"]) <= 100


def test_a_seed_reproduces_the_reply(server: RunningServer, questions: list[str]) -> None:
    fields = {"temperature": 1.3, "seed": 11, "n": 2, "max_thinking_tokens": 80, "num_waits": 2}
    first, second = ([choice["token_ids"] for choice in replies(server, questions[1], **fields)] for _ in range(2))
    assert first == second


def test_forced_tokens_have_the_models_own_logprobs(server: RunningServer, questions: list[str]) -> None:
    choice = one(server, questions[0], max_thinking_tokens=12, logprobs=True, top_logprobs=2)
    logprobs = choice["logprobs"]["content"]
    assert len(logprobs) == len(choice["token_ids"])
    assert all(-100 < entry["logprob"] <= 0 for entry in logprobs)
    assert min(entry["logprob"] for entry in logprobs) < -1, "the model would not have written the forced tokens"


def test_the_grammar_of_an_answer_begins_after_a_marker_of_two_tokens(
    server: RunningServer, questions: list[str]
) -> None:
    for budget, tokens in (
        ({"max_thinking_tokens": 0}, 0),
        ({"max_thinking_tokens": 12}, 12),
        ({"num_waits": 2}, None),
    ):
        choice = one(server, questions[0], **budget, structured_outputs={"regex": "[0-9]{3}"})
        assert re.fullmatch("[0-9]{3}", choice["message"]["content"]), "without s1's prefix, which is not part of it"
        assert choice["thinking"]["tokens"] == tokens or (tokens is None and choice["thinking"]["waits"] == 2)
    choice = one(server, questions[0], structured_outputs={"regex": "[0-9]{3}"})
    assert choice["thinking"]["ended_by"] == "none", "without a budget, the thinking of this family is not opened"
    assert re.fullmatch("[0-9]{3}", choice["message"]["content"])


UNCAPPED = {"num_waits": 1, "max_thinking_tokens": "unlimited"}
REFUSED: Sequence[tuple[dict[str, Any], str, str]] = (
    ({"num_waits": 1, "stop_token_ids": COUNTER.encode("Wait")}, "stop_token_ids", "wait_text"),
    (
        {"max_thinking_tokens": 9, "cap_text": "so.", "stop_token_ids": COUNTER.encode(".")},
        "stop_token_ids",
        "cap_text",
    ),
    ({"max_thinking_tokens": 9, "stop_token_ids": [NEWLINE]}, "stop_token_ids", "line break"),
    ({"num_waits": 1, "stop_token_ids": [MARKER]}, "stop_token_ids", "marker"),
    ({**UNCAPPED, "allowed_token_ids": DIGITS}, "allowed_token_ids", "max_thinking_tokens"),
    ({**UNCAPPED, "bad_words": ["<|im_start|>"]}, "bad_words", "max_thinking_tokens"),
    (
        {"max_thinking_tokens": 9, "min_tokens": 90, "stop_token_ids": COUNTER.end[-1:]},
        "min_tokens",
        "max_thinking_tokens, which is 9",
    ),
)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_conflicting_fields_are_refused_with_both_names(
    server: RunningServer, questions: list[str], stream: bool
) -> None:
    for fields, param, other in REFUSED:
        response = server.chat(**ask(questions[0], **fields, stream=stream))
        error = response.json()["error"]
        assert (response.status_code, error["param"]) == (400, param), fields
        assert other in error["message"]

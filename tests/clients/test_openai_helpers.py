"""`tenuto.openai` with dicts of the SDK's shapes; its objects: in tests/integration/test_http_sdk_streams.py."""

from typing import Any, get_type_hints

import pytest

import tenuto.openai
from tenuto.body import BUDGET_FIELDS
from tests.clients.test_client import REPORT, THINKING


def test_the_fields_are_those_of_a_budget() -> None:
    assert set(get_type_hints(tenuto.openai.extra_body)) - {"return"} == set(BUDGET_FIELDS)
    assert tenuto.openai.extra_body(max_thinking_tokens=0, num_waits=2) == {"max_thinking_tokens": 0, "num_waits": 2}
    assert tenuto.openai.extra_body() == {}


def test_an_unknown_field_is_an_error() -> None:
    with pytest.raises(TypeError, match="max_thinking_token"):
        tenuto.openai.extra_body(max_thinking_token=5)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "choice",
    [
        {"message": {"content": "42"}, "thinking": THINKING},
        {"message": {"content": "42", "thinking_report": THINKING}},
        {"delta": {"content": "!", "thinking_report": THINKING}},
        {"delta": {}, "thinking": THINKING},
    ],
    ids=str,
)
def test_the_report_is_found_wherever_it_is(choice: dict[str, Any]) -> None:
    assert tenuto.openai.report(choice) == REPORT


def test_a_choice_of_another_server_has_no_report() -> None:
    assert tenuto.openai.report({"message": {"content": "42"}}) is None


def test_a_report_of_another_shape_is_an_error() -> None:
    with pytest.raises(tenuto.InvalidReply, match="thinking"):
        tenuto.openai.report({"thinking": {"type": "enabled"}})


def test_the_thinking_has_two_names() -> None:
    assert tenuto.openai.reasoning({"reasoning": "Hm"}) == tenuto.openai.reasoning({"reasoning_content": "Hm"}) == "Hm"
    assert tenuto.openai.reasoning({"content": "42"}) == ""

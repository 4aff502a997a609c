"""One prompt under several budgets."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

import tenuto
from tenuto.sweeps import Budget
from tests.clients.conftest import ScriptedServer, SyncCaller
from tests.clients.test_client import REPLY

BUDGETS: Sequence[Budget] = [8, {"max_thinking_tokens": 8, "num_waits": 2}, "auto"]


def test_a_sweep_returns_a_point_for_each_budget_in_their_order(
    scripted: ScriptedServer, make_client: type[SyncCaller]
) -> None:
    for _ in BUDGETS:
        scripted.will_send_json(REPLY)
    points = make_client(scripted.url).sweep("hello", BUDGETS, concurrency=1, temperature=0.0)
    sent: list[Mapping[str, Any]] = [
        {"max_thinking_tokens": 8},
        {"max_thinking_tokens": 8, "num_waits": 2},
        {"max_thinking_tokens": "auto"},
    ]
    assert [point.budget for point in points] == sent
    assert [point.reply is not None and point.reply.content for point in points] == ["42"] * 3
    shared = {"messages": [{"role": "user", "content": "hello"}], "temperature": 0.0}
    assert scripted.bodies == [{**shared, **budget} for budget in sent]


def test_an_error_of_one_budget_ends_none_of_the_others(
    scripted: ScriptedServer, make_client: type[SyncCaller]
) -> None:
    scripted.will_send_json(REPLY)
    scripted.will_send_json({"error": {"message": "too large", "param": "max_thinking_tokens"}}, status=400)
    scripted.will_send_json(REPLY)
    first, second, third = make_client(scripted.url).sweep("hello", BUDGETS, concurrency=1)
    assert (first.error, third.error, second.reply) == (None, None, None)
    assert isinstance(second.error, tenuto.BadRequest)
    assert second.error.param == "max_thinking_tokens"


def test_requests_of_a_sweep_run_at_once(scripted: ScriptedServer, make_client: type[SyncCaller]) -> None:
    for _ in range(8):
        scripted.will_send_json(REPLY)
    points = make_client(scripted.url).sweep("hello", [1, 2, 3, 4, 5, 6, 7, 8])
    assert [point.budget["max_thinking_tokens"] for point in points] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert all(point.reply for point in points)


@pytest.mark.parametrize(
    ("budgets", "fields", "message"),
    [
        ([], {}, "budgets: is empty"),
        ([8, {"num_wait": 2}], {}, r"budgets\[1\]: 'num_wait' is not a field of a budget"),
        ([{"num_waits": 2}], {"num_waits": 1}, r"budgets\[0\]: 'num_waits' is also given for all budgets"),
        ([8], {"concurrency": 0}, "concurrency: 0 is not at least 1"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_sweep_is_said_before_anything_is_sent(
    scripted: ScriptedServer,
    make_client: type[SyncCaller],
    budgets: Sequence[Budget],
    fields: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        make_client(scripted.url).sweep("hello", budgets, **fields)
    assert scripted.requests == []

"""Requests that users reported get what is right, whole and streamed."""

import pytest

from tenuto_testing.reported_case import Case
from tenuto_testing.servers import RunningServer

from .reported import budgets, clients, messages, operations, reading, responses

CASES = [case for module in (clients, reading, responses, messages, budgets, operations) for case in module.CASES]


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_reported_request_gets_what_is_right(case: Case, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue(case.server)
    assert isinstance(server, RunningServer)
    before = server.gauge("vllm:generation_tokens_total")
    case.verify(server)
    if case.status >= 400:
        assert server.gauge("vllm:generation_tokens_total") == before, "tokens were generated for a refused request"

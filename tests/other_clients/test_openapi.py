"""Random requests generated from our OpenAPI document: no server error, and only documented statuses."""

from typing import Any

import hypothesis
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from .conftest import URL

RESPONSES = "/v1/responses"

#: Set to a small number, so that replies stay short.
LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


document = schemathesis.openapi.from_url(f"{URL}/openapi.json")


def sampled(examples: int, *phases: hypothesis.Phase) -> Any:
    """`examples` random requests, the same in every run."""
    return hypothesis.settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=phases,
    )


@document.exclude(path=RESPONSES).parametrize()
@sampled(12, hypothesis.Phase.explicit, hypothesis.Phase.generate)
def test_every_answer_is_documented(case: Any) -> None:
    """Requests that cover each field on its own, and random ones."""
    ask(case)


@document.include(path=RESPONSES).parametrize()
@sampled(60, hypothesis.Phase.generate)
def test_every_answer_of_responses_is_documented(case: Any) -> None:
    """Random requests only: covering each kind of input would take fourteen thousand requests."""
    ask(case)


def ask(case: Any) -> None:
    if isinstance(case.body, dict):
        for name in LIMITS:
            if name in case.body and case.body[name] is None:
                del case.body[name]  # null is no limit
            if isinstance(case.body.get(name), int) and case.body[name] > 16:
                case.body[name] = 16
        if case.operation.path != "/v1/messages" and not any(name in case.body for name in LIMITS):
            case.body[LIMITS[2] if case.operation.path == RESPONSES else LIMITS[0]] = 16
    response = case.call(timeout=60)
    case.validate_response(response, checks=[not_a_server_error, status_code_conformance, content_type_conformance])

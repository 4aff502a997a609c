"""Random requests made from our own OpenAPI document: no server error, no status that the document does not name."""

from typing import Any

import hypothesis
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from .conftest import URL

EXAMPLES = 12  # for each operation, beside those that cover its fields one by one

#: Whatever the names are, a generated reply stays short.
LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


document = schemathesis.openapi.from_url(f"{URL}/openapi.json")


@document.parametrize()
@hypothesis.settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
def test_every_answer_is_documented(case: Any) -> None:
    if isinstance(case.body, dict):
        for name in LIMITS:
            if name in case.body and case.body[name] is None:
                del case.body[name]  # null is no limit
            if isinstance(case.body.get(name), int) and case.body[name] > 16:
                case.body[name] = 16
        if case.operation.path != "/v1/messages" and not any(name in case.body for name in LIMITS):
            case.body[LIMITS[2] if case.operation.path == "/v1/responses" else LIMITS[0]] = 16
    response = case.call(timeout=60)
    case.validate_response(response, checks=[not_a_server_error, status_code_conformance, content_type_conformance])

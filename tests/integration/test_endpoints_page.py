"""The examples in docs/endpoints.md show the server's real output."""

from pathlib import Path

import pytest

from tenuto_testing.servers import RunningServer
from tests.integration.doc_examples import Example, examples

EXAMPLES = examples((Path(__file__).resolve().parents[2] / "docs/endpoints.md").read_text())


def test_every_endpoint_has_its_example() -> None:
    assert [example.path for example in EXAMPLES] == [
        "/v1/completions",
        "/v1/responses",
        "/v1/messages",
        "/v1/messages",
        "/v1/chat/completions/batch",
        "/tokenize",
    ]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.path)
def test_the_command_prints_what_is_shown(server: RunningServer, example: Example) -> None:
    assert example.lines(server) == example.shown
    assert example.shown

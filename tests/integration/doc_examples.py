"""Command lines of the documentation, and what is shown of their output, against a running server."""

import json
import re
from dataclasses import dataclass

from tenuto_testing.servers import RunningServer

_EXAMPLE = re.compile(
    r"curl -s http://127\.0\.0\.1:8000(\S+) -H 'Content-Type: application/json' -d '(\{.*\})'"
    r"( \| python3 -m json\.tool)? \| grep -E '(.*)'\n```\n\n```\n((?:.*\n)*?)```"
)


@dataclass(frozen=True)
class Example:
    """`curl`, perhaps laid out, through `grep`."""

    path: str
    body: str
    laid_out: bool
    pattern: str
    shown: list[str]

    def lines(self, server: RunningServer) -> list[str]:
        """What the command prints."""
        response = server.post(self.path, **json.loads(self.body))
        text = json.dumps(response.json(), indent=4) if self.laid_out else response.text
        return [line for line in text.splitlines() if re.search(self.pattern, line)]


def examples(text: str) -> list[Example]:
    return [
        Example(path, body, bool(laid_out), pattern, shown.splitlines())
        for path, body, laid_out, pattern, shown in _EXAMPLE.findall(text)
    ]

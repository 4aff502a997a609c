"""Commands in the documentation with the output shown for them, run against a server."""

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
    """`curl`, optionally through `json.tool`, and `grep`."""

    path: str
    body: str
    formatted: bool
    pattern: str
    shown: list[str]

    def lines(self, server: RunningServer) -> list[str]:
        """The lines that the command prints."""
        response = server.post(self.path, **json.loads(self.body))
        text = json.dumps(response.json(), indent=4) if self.formatted else response.text
        return [line for line in text.splitlines() if re.search(self.pattern, line)]


def examples(text: str) -> list[Example]:
    return [
        Example(path, body, bool(formatted), pattern, shown.splitlines())
        for path, body, formatted, pattern, shown in _EXAMPLE.findall(text)
    ]

"""Reads a Dockerfile and a .dockerignore as far as tests need them."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Instruction:
    """One instruction: its name, its arguments as they are written, and the name of its stage."""

    name: str
    text: str
    stage: str

    @property
    def words(self) -> list[str]:
        return self.text.split()

    @property
    def list(self) -> list[str]:
        """The arguments in JSON form."""
        return [str(word) for word in json.loads(self.text[self.text.index("[") :])]


def instructions(file: Path) -> list[Instruction]:
    """All instructions, in order; those before the first stage have the stage ''."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found, stage = [], ""
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            stage = rest.rpartition(" AS ")[2]
        found.append(Instruction(name, rest.strip(), stage))
    return found


def context_sources(found: Sequence[Instruction]) -> Iterator[str]:
    """The paths, or patterns of paths, that are read from the build context."""
    for each in found:
        if each.name in ("COPY", "ADD") and not each.text.startswith("--from="):
            yield from each.words[:-1]
        for mount in re.findall(r"--mount=(\S*type=bind\S*)", each.text):
            options = dict(option.partition("=")[::2] for option in mount.split(","))
            if "from" not in options:
                yield options["source"]


def is_in_context(path: str, ignore_lines: Sequence[str]) -> bool:
    """Whether a path is sent to the builder: the last pattern that matches it, or a folder of it, decides."""
    kept = True
    for line in ignore_lines:
        pattern = line.strip()
        if pattern and not pattern.startswith("#"):
            expression = _expression(pattern.removeprefix("!"))
            if any(expression.fullmatch(str(part)) for part in (PurePosixPath(path), *PurePosixPath(path).parents)):
                kept = pattern.startswith("!")
    return kept


def _expression(pattern: str) -> re.Pattern[str]:
    pieces = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern.strip("/"))
    return re.compile("".join(pieces.get(part, re.escape(part)) for part in parts))

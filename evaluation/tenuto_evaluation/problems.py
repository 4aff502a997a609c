"""Problems, and how answers are found and graded: s1's rules, without the parts that need a judge model."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from tenuto_evaluation.errors import InvalidProblems

_ANSWER = re.compile(r"answer\s*:", re.IGNORECASE)
_BOXES = (r"\boxed", r"\fbox")


@dataclass(frozen=True, slots=True)
class Problem:
    """A question, sent unchanged, and its correct answer."""

    question: str
    answer: str


def load_problems(path: Path, limit: int | None = None) -> list[Problem]:
    """Load the first `limit` problems of a JSON lines file; keys other than "question" and "answer" are ignored."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InvalidProblems(f"problems file: {error}") from error
    problems = [parse_problem(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not problems:
        raise InvalidProblems(f"{path}: the file has no problems")
    return problems[:limit]


def parse_problem(line: str, position: str) -> Problem:
    """Parse one line; `position` names it in errors. The answer may be a number."""
    try:
        item = json.loads(line)
        return Problem(str(item["question"]), str(item["answer"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidProblems(f'{position}: not an object with "question" and "answer": {line[:80]}') from error


def extract_answer(text: str) -> str:
    """Return the answer in a reply: the last box, or the line after the last "Answer:", or the whole reply.

    (s1 takes everything after the first "Answer:", and a judge model finds the answer in it.)
    """
    boxed = last_box(text)
    if boxed is not None:
        return boxed.strip()
    *_, tail = _ANSWER.split(text)
    return tail.strip().partition("\n")[0].strip()


def last_box(text: str) -> str | None:
    """Return the content of the last `\\boxed{...}`, `\\fbox{...}` or `\\boxed x`; None without one that is closed."""
    start, opener = max((text.rfind(name), name) for name in _BOXES)
    if start < 0:
        return None
    rest = text[start + len(opener) :]
    if rest.startswith(" "):
        return re.split(r"[\s$]", rest[1:], maxsplit=1)[0]
    depth = 0
    for position, character in enumerate(rest):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return rest[1:position] if position else None
    return None


def is_correct(extracted: str, answer: str) -> bool:
    """Compare digits as numbers and everything else as text."""
    if extracted.isdecimal() and answer.isdecimal():
        return int(extracted) == int(answer)
    return extracted == answer.strip()

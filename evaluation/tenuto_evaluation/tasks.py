"""Problems, and how an answer is read and graded: the rules of s1's tasks as far as they need no judge model."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from tenuto_evaluation.errors import InvalidProblems

_ANSWER = re.compile(r"answer\s*:", re.IGNORECASE)
_BOXES = (r"\boxed", r"\fbox")


@dataclass(frozen=True, slots=True)
class Problem:
    """A question that is sent as it stands, and the answer that counts as right."""

    question: str
    answer: str


def load_problems(path: Path, limit: int | None = None) -> list[Problem]:
    """The first `limit` problems of a JSON-lines file of `{"question", "answer"}` objects; other keys are ignored."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InvalidProblems(f"problems file: {error}") from error
    problems = [parse_problem(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not problems:
        raise InvalidProblems(f"{path}: there is no problem in it")
    return problems[:limit]


def parse_problem(line: str, place: str) -> Problem:
    """One line; `place` names it in errors. Numbers are accepted as answers."""
    try:
        item = json.loads(line)
        return Problem(str(item["question"]), str(item["answer"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidProblems(f'{place}: not an object with "question" and "answer": {line[:80]}') from error


def extract(text: str) -> str:
    """The answer in a reply: the last box, else the line after the last "Answer:", else the whole reply.

    (s1 takes everything after the first "Answer:" and lets a judge model find the answer in it.)
    """
    boxed = last_box(text)
    if boxed is not None:
        return boxed.strip()
    *_, tail = _ANSWER.split(text)
    return tail.strip().partition("\n")[0].strip()


def last_box(text: str) -> str | None:
    """What stands in the last `\\boxed{...}`, `\\fbox{...}` or `\\boxed x`; None without a closed one."""
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
    """Digits are compared as numbers, everything else as text."""
    if extracted.isdecimal() and answer.isdecimal():
        return int(extracted) == int(answer)
    return extracted == answer.strip()

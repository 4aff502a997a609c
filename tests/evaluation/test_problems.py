"""Loading problems, finding answers in replies, and grading them."""

from pathlib import Path

import pytest

from tenuto_evaluation.errors import InvalidProblems
from tenuto_evaluation.problems import Problem, extract_answer, is_correct, load_problems


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("\nAnswer: 42", "42"),
        ("\nFinal Answer: 42", "42"),
        ("final answer:\n42\n", "42"),
        ("Answer: 41. No.\nAnswer: 42\nThat was all.", "42"),
        ("so it is $\\boxed{42}$.", "42"),
        ("\\boxed{41} and then \\boxed{42}", "42"),
        ("\\boxed{\\frac{1}{2}} is one half", "\\frac{1}{2}"),
        ("\\fbox{42}", "42"),
        ("$\\boxed 42$", "42"),
        ("Answer: \\boxed{ 42 }", "42"),
        ("Answer: 42, though \\boxed{41", "42, though \\boxed{41"),
        (" 42 ", "42"),
        ("Answer:", ""),
        ("", ""),
    ],
)
def test_extract_answer(text: str, answer: str) -> None:
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    ("extracted", "answer", "correct"),
    [
        ("42", "42", True),
        ("042", "42", True),
        ("42", "43", False),
        ("forty-two", "forty-two", True),
        ("42.", "42", False),
        ("", "42", False),
        ("-7", "-7", True),
        ("-07", "-7", False),
    ],
)
def test_is_correct(extracted: str, answer: str, correct: bool) -> None:
    assert is_correct(extracted, answer) is correct


def test_load_problems(tmp_path: Path) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text('{"question": "1 + 1?", "answer": "2", "level": 1}\n\n{"question": "2 + 2?", "answer": 4}\n')
    assert load_problems(path) == [Problem("1 + 1?", "2"), Problem("2 + 2?", "4")]
    assert load_problems(path, 1) == [Problem("1 + 1?", "2")]


@pytest.mark.parametrize("line", ["nonsense", '{"question": "?"}', "3", '["question", "answer"]'])
def test_an_invalid_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text(f'{{"question": "1 + 1?", "answer": "2"}}\n{line}\n')
    with pytest.raises(InvalidProblems, match=r"problems\.jsonl:2: "):
        load_problems(path)


def test_a_missing_or_empty_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidProblems, match="problems file"):
        load_problems(tmp_path / "absent")
    (tmp_path / "empty").touch()
    with pytest.raises(InvalidProblems, match="no problems"):
        load_problems(tmp_path / "empty")

"""The problems of the demo are found without importing the server's package."""

import subprocess
import sys

from tenuto_evaluation import demo
from tenuto_evaluation.problems import load_problems


def test_there_are_enough_held_out_problems() -> None:
    problems = load_problems(demo.problems_file())
    assert demo.NUM_PROBLEMS >= 400
    assert len({problem.question for problem in problems}) >= demo.NUM_PROBLEMS
    assert all(problem.answer.isdecimal() for problem in problems)


def test_finding_them_imports_neither_the_server_nor_the_engine() -> None:
    program = (
        "import sys; from tenuto_evaluation.demo import problems_file; problems_file();"
        "print([name for name in sys.modules if name.startswith(('tenuto_server', 'vllm'))])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"

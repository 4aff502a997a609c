"""One line for what is wrong with the options, from the exceptions that vLLM and its libraries raise for them."""

import re
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError
from vllm.exceptions import VLLMValidationError

from ..errors import StartupError

_MOST_CHARACTERS = 500

#: What Pydantic adds to each of its messages.
_DETAILS = re.compile(r"\[type=\w+, input_value=.*?, input_type=\w+\]|For further information visit \S+", re.DOTALL)
_CONVERTER = re.compile(r"cannot be converted to <function loads at 0x\w+>\.?")


@contextmanager
def usage_errors(args: Namespace | None = None, *passed_on: type[Exception]) -> Iterator[None]:
    """Turn every exception into a StartupError, except those of the given types.

    Args:
        args: the options, once they are known.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, (StartupError, *passed_on)):
            raise
        raise StartupError(describe(error, args)) from error


def describe(error: Exception, args: Namespace | None = None) -> str:
    """What is wrong, in one line, with the option's name or the model's."""
    if isinstance(error, ValidationError):
        fields = _wrong_fields(error, args)
        if fields:
            return in_one_line("; ".join(f"{name}: {message}" for name, message in fields.items()))
        message = "; ".join(problem["msg"] for problem in error.errors())
    elif isinstance(error, OSError) and error.strerror and error.filename:
        message = f"{error.filename}: {error.strerror}"
    elif isinstance(error, (KeyError, VLLMValidationError)) and error.args:
        message = str(error.args[0])
    else:
        message = str(error)
    line = in_one_line(message) or type(error).__name__
    model = getattr(args, "model", None)
    return f"{model} cannot be served with these options: {line}" if model else line


def in_one_line(text: str) -> str:
    """The first paragraph of a message, without what Pydantic adds for programmers."""
    text = _CONVERTER.sub("is not valid JSON", _DETAILS.sub("", text)).strip()
    line = " ".join(text.partition("\n\n")[0].split())
    line = re.sub(r"^(Value error|Assertion failed), |^Error: ", "", line)
    return line if len(line) <= _MOST_CHARACTERS else f"{line[: _MOST_CHARACTERS - 3]}..."


def _wrong_fields(error: ValidationError, args: Namespace | None) -> dict[str, str]:
    """The first message for each wrong field, by its option's name."""
    found: dict[str, str] = {}
    for problem in error.errors():
        if problem["loc"]:
            field = str(problem["loc"][0])
            name = f"--{field.replace('_', '-')}" if hasattr(args, field) else f"{error.title}.{field}"
            found.setdefault(name, f"{problem['msg']}, not {_show(problem['input'])}")
    return found


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

"""Request bodies are checked at a bounded cost, and what is wrong with one is one error that names the field."""

import logging
import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any, Self

from pydantic import BaseModel, GetCoreSchemaHandler, ModelWrapValidatorHandler, model_validator
from pydantic_core import ErrorDetails, SchemaValidator, ValidationError, core_schema
from vllm.exceptions import VLLMError, VLLMValidationError

from tenuto_decoding.errors import ThinkingError

from ..errors import InvalidRequest, ServingError
from .body_schema import model_validator_of, shape_validator
from .union_choice import BRANCH

logger = logging.getLogger("vllm.tenuto")

#: Kinds of errors that only say that a value has another type.
_OF_TYPE = ("_type", "_parsing", "literal_error", "enum")
_MAX_VALUE = 60
_MAX_REASON = 400
_MAX_NAMES = 256
_WORDS = re.compile(r"[a-z0-9]+")


class CheckedBody(BaseModel):
    """Mixed into a request type, before vLLM's: its bodies are checked by `body_schema`, before vLLM's validators.

    Only wrap validators of types that come before this one among the bases see the body as it came, and run first:
    pydantic runs all before validators inside of all others.
    """

    @classmethod
    def __pydantic_on_complete__(cls) -> None:
        """Replace pydantic's validator by one whose cost is bounded. The schema stays, for the API's description."""
        super().__pydantic_on_complete__()
        cls.__pydantic_validator__ = model_validator_of(cls.__pydantic_core_schema__)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler, /) -> core_schema.CoreSchema:
        """Have FastAPI, which makes validators of its own, call this type's validator."""
        if not cls.__dict__.get("__pydantic_complete__"):
            return handler(source)
        schema = cls.__pydantic_core_schema__
        described = {"pydantic_js_functions": [lambda _, describe: describe(schema)]}
        name = f"{cls.__module__}.{cls.__qualname__}:{id(cls)}"  # under it, the description is a definition of its own
        return core_schema.no_info_plain_validator_function(cls.model_validate, ref=name, metadata=described)

    @model_validator(mode="wrap")
    @classmethod
    def check_body(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """The request of a body, whose fields are checked before vLLM's validators see it.

        Raises:
            InvalidRequest: naming the field, the value, and what is wrong with it.
        """
        if not isinstance(data, dict):
            return handler(data)
        body = data
        try:
            body = _shape(cls).validate_python(data)
            return handler(body)
        except ValidationError as error:
            raise refusal_of(error) from None
        except VLLMValidationError as error:
            raise refusal_of_vllms(error, body) from None
        except (ThinkingError, VLLMError, ServingError):
            raise
        except Exception as error:  # of vLLM's own validators
            logger.warning("A request could not be read", exc_info=True)
            reason = f"cannot be read: {type(error).__name__}: {str(error)[:_MAX_REASON]}"
            raise InvalidRequest(field_in(reason, body, "body"), reason) from error


@cache
def _shape(cls: type[CheckedBody]) -> SchemaValidator:
    return shape_validator(cls.__pydantic_core_schema__)


def refusal_of_vllms(error: VLLMValidationError, body: Mapping[str, Any]) -> InvalidRequest:
    """The refusal for an error of vLLM's, which names the field in words where it has no parameter."""
    message = str(error.args[0])[:_MAX_REASON]  # str(error) has the whole value too
    field = error.parameter or field_in(message, body, "body")
    return InvalidRequest(field, message.removeprefix(f"{field}: "))


def field_in(message: str, body: Mapping[str, Any], otherwise: str) -> str:
    """The field of a body that a message is about: the first one that it names, with or without underscores."""
    words = f" {' '.join(_WORDS.findall(message.replace('_', ' ').lower()))} "
    found = [(words.find(f" {name.replace('_', ' ').lower()} "), -len(name), path) for path, name in _names(body)]
    return min((one for one in found if one[0] >= 0), default=(0, 0, otherwise))[2]


def _names(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The fields of a body, and those of the objects in it: their paths and names."""
    for name, value in islice(body.items(), _MAX_NAMES):
        yield name, name
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", inner) for inner in islice(value, _MAX_NAMES))


def refusal_of(error: ValidationError) -> Exception:
    """The one error for what pydantic found: one of ours or vLLM's if a validator raised it."""
    problems = error.errors(include_url=False)
    for problem in problems:
        cause = problem.get("ctx", {}).get("error")
        if isinstance(cause, ThinkingError):
            return cause
    return InvalidRequest(*describe(problems))


def describe(problems: list[ErrorDetails]) -> tuple[str, str]:
    """The field of the first problem, and what is wrong with it.

    A value that may be of several types has a problem for each: then a bound that it exceeds counts more than the types
    that it does not have.
    """
    path = _path(problems[0])
    same = [problem for problem in problems if _path(problem) == path]
    bounds = [problem for problem in same if not problem["type"].endswith(_OF_TYPE)]
    reasons = dict.fromkeys(_reason(problem) for problem in bounds[:1] or same)
    return path or "body", f"{' or '.join(reasons)}{_value(same[0])}"[:_MAX_REASON]


def _path(problem: ErrorDetails) -> str:
    parts = [str(part)[:_MAX_VALUE] for part in problem["loc"] if not str(part).startswith(BRANCH)]
    return ".".join(parts[1:] if parts[:1] == ["body"] else parts)  # FastAPI's name for the whole body


def _reason(problem: ErrorDetails) -> str:
    if problem["type"] == "missing" and problem["msg"] == "Field required":
        return "is required"
    cause = problem.get("ctx", {}).get("error")
    reason = str(cause) if isinstance(cause, Exception) else problem["msg"]
    return reason.removeprefix("Input ")


def _value(problem: ErrorDetails) -> str:
    """The value, for problems with it."""
    value = problem["input"]
    if problem["type"] in ("missing", "unknown", "value_error"):
        return ""
    if isinstance(value, (dict, list)):
        kind = "an object" if isinstance(value, dict) else "a list"
        return f"; it is {kind}" if value else f"; it is {value}"
    shown = repr(value) if not isinstance(value, str) else repr(value[:_MAX_VALUE])
    return f"; it is {'null' if value is None else shown[:_MAX_VALUE]}"

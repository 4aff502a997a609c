"""Checks a request's body against the limits for one request, before anything is made of the body.

The request types check what the fields mean. These checks refuse what would cost the server more than one request may,
and what would let a request reach beyond its own reply.
"""

import re
from typing import Any
from urllib.parse import urlsplit

from ..config.limits import Limits
from ..errors import InvalidRequest
from ..paths import REQUEST_ID, Endpoint

#: Levels of nesting in a body: far more than any tool's schema has, far fewer than a parser's stack holds.
MAX_DEPTH = 64

_OUTPUT_TOKENS = ("max_tokens", "max_completion_tokens", "max_output_tokens")

#: Fields of vLLM's requests, and of other servers', that are not accepted, and why.
_REFUSED = {
    "chat_template": "a template is code: the server uses its own",
    "prompt_embeds": "embeddings are not accepted: send text or token ids",
    "logits_processors": "code is not accepted from requests",
    "custom_logit_processor": "code is not accepted from requests",
    "media_io_kwargs": "only the server decides how media are read",
    "mm_processor_kwargs": "only the server decides how media are processed",
    "kv_transfer_params": "clients cannot make the server exchange caches with other servers",
    "ec_transfer_params": "clients cannot make the server exchange caches with other servers",
    "best_of": "is not supported: request n replies and choose",
    "background": "this server stores no responses: a reply ends with its request",
}
_HARMLESS = {"best_of": 1, "background": False}

#: Keys of `vllm_xargs` that vLLM and this server use themselves.
_REFUSED_XARGS = frozenset({"kv_transfer_params", "ec_transfer_params", "thinking_request", "thinking_only_closes"})

#: What a surrogate looks like in JSON: escaped, alone or in a pair, or encoded as if it were a character.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")

#: Names that `apply_chat_template` or Jinja use themselves; a template's own variables have other names.
_OF_TRANSFORMERS = (
    "self, conversation, tools, documents, chat_template, add_generation_prompt, continue_final_message, tokenize, "
    "padding, truncation, max_length, return_tensors, return_dict, return_assistant_tokens_mask, "
    "tokenizer_kwargs, kwargs"
)
_OF_JINJA = (
    "messages, raise_exception, strftime_now, namespace, range, dict, lipsum, cycler, joiner, loop, caller, varargs"
)
TEMPLATE_ARGUMENTS = frozenset(f"{_OF_TRANSFORMERS}, {_OF_JINJA}".split(", "))

#: Fields that can hold media; the same names elsewhere, as in the schema of a tool, are text.
_HOLDS_MEDIA = ("messages", "input", "previous_input_messages", "system")
_MEDIA = ("image_url", "audio_url", "video_url", "file_url")


def check_body(body: Any, limits: Limits) -> None:
    """Check a parsed body against the limits. A body that is not an object is left to the request types.

    Raises:
        InvalidRequest: naming the field, the value and the bound.
    """
    if not isinstance(body, dict):
        if isinstance(body, list):
            _check_within(body, None)
        return
    for field, value in body.items():
        if isinstance(value, (dict, list)):
            _check_within(value, limits if field in _HOLDS_MEDIA else None, depth=2)
    _check_refused(body)
    _check_id(body.get("request_id"))
    _check_at_most("n", body.get("n"), limits.n, "--max-n")
    xargs = body.get("vllm_xargs")
    for source in (body, xargs if isinstance(xargs, dict) else {}):
        waits = source.get("num_waits")
        if isinstance(waits, int):  # the budget's own check refuses other types
            _check_at_most("num_waits", waits, limits.num_waits, "--max-num-waits")
    if limits.output_tokens is not None:
        for field in _OUTPUT_TOKENS:
            _check_at_most(field, body.get(field), limits.output_tokens, "--max-output-tokens")


def check_characters(body: Any, raw: bytes) -> None:
    """Refuse text with half of a surrogate pair, which is no character: clients that cut text in JavaScript send it.

    Args:
        body: parsed, and not nested too deeply.
        raw: what it was parsed from.

    Raises:
        InvalidRequest: naming the field with its path.
    """
    if _SURROGATE.search(raw):
        _check_characters(body, "")


def _check_characters(value: Any, path: str) -> None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            half = ascii(error.object[error.start])
            raise InvalidRequest(
                path or "body", f"holds {half}, half of a surrogate pair: send whole characters"
            ) from None
    if isinstance(value, dict):
        for key, part in value.items():
            _check_characters(key, path)
            _check_characters(part, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for place, part in enumerate(value):
            _check_characters(part, f"{path}.{place}")


def count_slots(endpoint: Endpoint, body: Any) -> int:
    """How many slots a request takes: one for each sequence that the engine will run, and at least 1; 1 where text is
    only tokenized; otherwise 0.
    """
    if not endpoint.generates:
        return int(endpoint.tokenizes)
    if not isinstance(body, dict):
        return 1
    n = body.get("n")
    prompts = _count_prompts(body.get(endpoint.prompts)) if endpoint.prompts else 1
    return prompts * max(1, n if isinstance(n, int) else 1)


def _count_prompts(prompts: Any) -> int:
    """A list of ids is one prompt."""
    is_list = isinstance(prompts, list) and bool(prompts) and not isinstance(prompts[0], int)
    return len(prompts) if is_list else 1


def _check_refused(body: dict[str, Any]) -> None:
    for field in _REFUSED:
        if field in body and body[field] not in (None, _HARMLESS.get(field)):
            raise InvalidRequest(field, _REFUSED[field])
    for field, keys, reason in (
        ("vllm_xargs", _REFUSED_XARGS, "is not for requests to set"),
        (
            "chat_template_kwargs",
            TEMPLATE_ARGUMENTS,
            "is an argument of the template engine, not a variable of a template",
        ),
    ):
        given = body.get(field)
        for key in sorted(keys & given.keys()) if isinstance(given, dict) else ():
            raise InvalidRequest(field, f"{key!r} {reason}")


def _check_id(given: Any) -> None:
    if isinstance(given, str) and not REQUEST_ID.fullmatch(given):
        raise InvalidRequest("request_id", f"{_show(given)} is not 1 to 128 letters, digits and ._:-")


def _check_at_most(field: str, value: Any, bound: int, option: str) -> None:
    """Also refuses values that a lenient schema would accept as a number: "100" and 100.0."""
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidRequest(field, f"{_show(value)} is not a whole number")
    if value > bound:
        raise InvalidRequest(field, f"{_show(value)} is above {bound}, the most that this server allows ({option})")


def _check_within(node: dict[str, Any] | list[Any], media: Limits | None, depth: int = 1) -> None:
    """Check how deep a value is nested, and, with limits, all media in it.

    Raises:
        InvalidRequest: also for nesting so deep that parsing it further could run out of stack.
    """
    if depth > MAX_DEPTH:
        raise InvalidRequest("body", f"is nested more than {MAX_DEPTH} levels deep")
    if isinstance(node, dict):
        if media is not None:
            _check_media(node, media)
        if node.get("type") == "tool_use":  # a tool call's arguments in Anthropic's API are text to the model
            node = {key: value for key, value in node.items() if key != "input"}
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, (dict, list)):
            _check_within(child, media, depth + 1)


def _check_media(node: dict[str, Any], limits: Limits) -> None:
    for field in _MEDIA:
        if field in node:
            _check_url(field, node[field], limits)
    if node.get("type") == "url":  # Anthropic's source of an image or document
        _check_url("source", node, limits)


def _check_url(field: str, value: Any, limits: Limits) -> None:
    url = value.get("url") if isinstance(value, dict) else value
    if not isinstance(url, str):
        return
    scheme = _scheme(url)
    if scheme == "data" or (limits.fetches_media and scheme in ("http", "https")):
        return
    if scheme in ("http", "https"):
        raise InvalidRequest(field, "this server does not fetch media (--allowed-media-domains): send a data: URL")
    raise InvalidRequest(field, f"{scheme or 'no'} scheme: send a data: URL")


def _scheme(url: str) -> str:
    try:
        return urlsplit(url.strip()).scheme
    except ValueError:
        return ""


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

"""How much one request may ask for, and what no request may say: read off its body before anything is made of it.

What a body means is for the schemas to check; here is refused what would cost the server more than it is willing to pay
for one request, and what would let a request reach beyond its own reply.
"""

from typing import Any
from urllib.parse import urlsplit

from ..config.limits import Limits
from ..errors import InvalidRequest
from ..paths import GENERATING, REQUEST_ID, TOKENIZING

#: Levels of nesting in a body: far more than any tool's schema has, far fewer than a parser's stack.
MAX_DEPTH = 64

_OUTPUT_TOKENS = ("max_tokens", "max_completion_tokens", "max_output_tokens")

#: Fields of vLLM's requests, and of other servers', that are not taken, and why.
_NOT_TAKEN = {
    "chat_template": "a template is code: the server has its own",
    "prompt_embeds": "embeddings are not taken: send text or token ids",
    "logits_processors": "code is not taken from requests",
    "custom_logit_processor": "code is not taken from requests",
    "media_io_kwargs": "how media are read is for the server to say",
    "mm_processor_kwargs": "how media are processed is for the server to say",
    "kv_transfer_params": "caches are not exchanged with other servers on a client's word",
    "ec_transfer_params": "caches are not exchanged with other servers on a client's word",
    "best_of": "is not offered: ask for n replies and choose",
    "background": "this server keeps no responses: a reply ends with the request that asked for it",
}
_HARMLESS = {"best_of": 1, "background": False}

#: ApiKeys of `vllm_xargs` under which vLLM and this server keep what is not the client's to say.
_NOT_TAKEN_XARGS = frozenset({"kv_transfer_params", "ec_transfer_params", "thinking_request"})

#: Names that `apply_chat_template` or Jinja use themselves; a template's own variables have others.
_OF_TRANSFORMERS = (
    "self, conversation, tools, documents, chat_template, add_generation_prompt, continue_final_message, tokenize, "
    "padding, truncation, max_length, return_tensors, return_dict, return_assistant_tokens_mask, "
    "tokenizer_kwargs, kwargs"
)
_OF_JINJA = (
    "messages, raise_exception, strftime_now, namespace, range, dict, lipsum, cycler, joiner, loop, caller, varargs"
)
TEMPLATE_ARGUMENTS = frozenset(f"{_OF_TRANSFORMERS}, {_OF_JINJA}".split(", "))

#: Where media can be; the same words elsewhere, as in the schema of a tool, are text.
_HOLDS_MEDIA = ("messages", "input", "previous_input_messages", "system")
_MEDIA = ("image_url", "audio_url", "video_url", "file_url")


def check_body(body: Any, limits: Limits) -> None:
    """Refuse a parsed body for what it asks too much of, or must not say. One that is no object is left to the schemas.

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
    _check_not_taken(body)
    _check_id(body.get("request_id"))
    _check_at_most("n", body.get("n"), limits.n, "--max-n")
    xargs = body.get("vllm_xargs")
    for source in (body, xargs if isinstance(xargs, dict) else {}):
        waits = source.get("num_waits")
        if isinstance(waits, int):  # what is none, the budget's own check refuses
            _check_at_most("num_waits", waits, limits.num_waits, "--max-num-waits")
    if limits.output_tokens is not None:
        for field in _OUTPUT_TOKENS:
            _check_at_most(field, body.get(field), limits.output_tokens, "--max-output-tokens")


def count_places(path: str, body: Any) -> int:
    """How many places a request to this path takes: one for each sequence that it gives the engine, at least 1; 1 as
    well for text that is only tokenized, else 0.
    """
    if path not in GENERATING:
        return int(path in TOKENIZING)
    if not isinstance(body, dict):
        return 1
    n = body.get("n")
    prompts = 1
    if path == "/v1/completions":
        prompts = _count_prompts(body.get("prompt"))
    elif path == "/v1/chat/completions/batch" and isinstance(body.get("messages"), list):
        prompts = len(body["messages"])
    return max(1, prompts) * max(1, n if isinstance(n, int) else 1)


def _count_prompts(prompt: Any) -> int:
    several = isinstance(prompt, list) and bool(prompt) and not isinstance(prompt[0], int)
    return len(prompt) if several else 1


def _check_not_taken(body: dict[str, Any]) -> None:
    for field in _NOT_TAKEN:
        if field in body and body[field] not in (None, _HARMLESS.get(field)):
            raise InvalidRequest(field, _NOT_TAKEN[field])
    for field, keys, reason in (
        ("vllm_xargs", _NOT_TAKEN_XARGS, "is not for requests to say"),
        (
            "chat_template_kwargs",
            TEMPLATE_ARGUMENTS,
            "is an argument of the template engine, no variable of a template",
        ),
    ):
        given = body.get(field)
        for key in sorted(keys & given.keys()) if isinstance(given, dict) else ():
            raise InvalidRequest(field, f"{key!r} {reason}")


def _check_id(given: Any) -> None:
    if isinstance(given, str) and not REQUEST_ID.fullmatch(given):
        raise InvalidRequest("request_id", f"{_show(given)} is not 1 to 128 letters, digits and ._:-")


def _check_at_most(field: str, value: Any, bound: int, option: str) -> None:
    """Also refuses what a lenient schema would take for a number: "100" and 100.0."""
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidRequest(field, f"{_show(value)} is not a whole number")
    if value > bound:
        raise InvalidRequest(field, f"{_show(value)} is above {bound}, the most that this server takes ({option})")


def _check_within(node: dict[str, Any] | list[Any], media: Limits | None, depth: int = 1) -> None:
    """Check how deep this is nested, and, with limits, the media in all of it.

    Raises:
        InvalidRequest: also below so many levels that whoever parses it further could run out of stack.
    """
    if depth > MAX_DEPTH:
        raise InvalidRequest("body", f"is nested more than {MAX_DEPTH} levels deep")
    if isinstance(node, dict):
        if media is not None:
            _check_media(node, media)
        if node.get("type") == "tool_use":  # what a tool of Anthropic's API was called with is text to the model
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
        raise InvalidRequest(field, "this server fetches no media (--allowed-media-domains): send a data: URL")
    raise InvalidRequest(field, f"{scheme or 'no'} scheme: send a data: URL")


def _scheme(url: str) -> str:
    try:
        return urlsplit(url.strip()).scheme
    except ValueError:
        return ""


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

"""The URL paths that exist, what each one is, and how to read the path of a request.

No other module names a path, except in route decorators.
"""

import re
from dataclasses import dataclass
from typing import Literal

from starlette.types import Scope

#: What can name a request: it goes out with every chunk, and into the log.
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


#: Of the ids of chats, which messages are to vLLM.
_VLLM_PREFIX = "chatcmpl-"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What the server does at a URL path.

    Attributes:
        path: as the route declares it; empty for a path without a route.
        generates: sequences are generated.
        prompts: the field of the body whose list holds several prompts, each with sequences of its own.
        conversation: the field of the body from which the prompt is made.
        part_separator: how vLLM's serving object numbers the parts of a response, as in `ID-2`. Without parts, an id is
            the response's, whatever it ends in.
        id_prefix: with which the ids of its replies begin, in the place of vLLM's.
        parts_are_turns: a part is a turn of the same conversation, not another prompt.
        tokenizes: text is tokenized and nothing is generated, which takes time and memory too.
        steers: changes a reply that is already running, so it is accepted while the server drains.
        is_guarded: admission control reads the body and decides whether the request is accepted.
        public: no API key is required: always, or with the option of that name. Where the path has a variable part,
            only with the parts that the application names.
        is_quiet: requested every few seconds: neither logged nor counted.
        is_anthropic: errors have the shape of Anthropic's API, not of OpenAI's.
    """

    path: str
    generates: bool = False
    prompts: str | None = None
    conversation: str = "messages"
    part_separator: str | None = None
    id_prefix: str | None = None
    parts_are_turns: bool = False
    tokenizes: bool = False
    steers: bool = False
    is_guarded: bool = True
    public: Literal["always", "public_metrics", "public_docs"] | None = None
    is_quiet: bool = False
    is_anthropic: bool = False

    def reply_id(self, engine_id: str) -> str:
        """The id of a reply for its client, by the id that vLLM gives it."""
        return engine_id if self.id_prefix is None else self.id_prefix + engine_id.removeprefix(_VLLM_PREFIX)


def _probe(path: str) -> Endpoint:
    return Endpoint(path, is_guarded=False, public="always", is_quiet=True)


def _documentation(path: str) -> Endpoint:
    return Endpoint(path, is_guarded=False, public="public_docs")


CHAT, DOCS, OPENAPI = "/v1/chat/completions", "/docs", "/openapi.json"
MESSAGES = Endpoint("/v1/messages", generates=True, id_prefix="msg_", is_anthropic=True)
_PAGE = Endpoint("/", is_guarded=False, public="always", is_quiet=True)
_SETTINGS = Endpoint("/playground/settings", is_quiet=True)
PLAYGROUND_FILE = Endpoint("/playground/{name:path}", is_guarded=False, public="always", is_quiet=True)
_MODEL = Endpoint("/v1/models/{model_id:path}")
_STEERING = Endpoint("/v1/requests/{reply_id:path}/thinking", steers=True)

ENDPOINTS = (
    Endpoint(CHAT, generates=True),
    Endpoint("/v1/chat/completions/batch", generates=True, prompts="messages", part_separator="_"),
    Endpoint("/v1/completions", generates=True, prompts="prompt", conversation="prompt", part_separator="-"),
    Endpoint("/v1/responses", generates=True, conversation="input", part_separator="_", parts_are_turns=True),
    MESSAGES,
    Endpoint("/v1/messages/count_tokens", tokenizes=True, is_anthropic=True),
    Endpoint("/tokenize", tokenizes=True),
    Endpoint("/v1/tokenize", tokenizes=True),
    Endpoint("/detokenize", tokenizes=True, conversation="tokens"),
    Endpoint("/v1/detokenize", tokenizes=True, conversation="tokens"),
    _STEERING,
    Endpoint("/v1/models"),
    _MODEL,
    _probe("/livez"),
    _probe("/readyz"),
    _probe("/health"),
    _probe("/ping"),
    Endpoint("/version", is_guarded=False),
    Endpoint("/load", is_guarded=False, public="public_metrics", is_quiet=True),
    Endpoint("/get_load", is_guarded=False, public="public_metrics", is_quiet=True),
    Endpoint("/metrics", is_guarded=False, public="public_metrics", is_quiet=True),
    _documentation(DOCS),
    _documentation("/docs/oauth2-redirect"),
    _documentation(OPENAPI),
    _PAGE,
    _SETTINGS,
    PLAYGROUND_FILE,
)

QUIET = frozenset(endpoint.path for endpoint in ENDPOINTS if endpoint.is_quiet)

_BY_PATH = {endpoint.path: endpoint for endpoint in ENDPOINTS}
_PLAYGROUND_START = PLAYGROUND_FILE.path.removesuffix("{name:path}")
_MODEL_START = _MODEL.path.removesuffix("{model_id:path}")
_STEERING_START, _, _STEERING_END = _STEERING.path.partition("{reply_id:path}")
_UNKNOWN_OF_ANTHROPIC = Endpoint("", is_anthropic=True)
_UNKNOWN_OF_API = Endpoint("")
_UNKNOWN = Endpoint("", is_guarded=False)


def find_endpoint(path: str) -> Endpoint:
    """The endpoint at a path, which may be one without a route."""
    if path in _BY_PATH:
        return _BY_PATH[path]
    if path.startswith(_STEERING_START) and path.endswith(_STEERING_END):
        return _STEERING
    if path.startswith(_MODEL_START):
        return _MODEL
    if path.startswith(_PLAYGROUND_START):
        return PLAYGROUND_FILE
    if path.startswith("/v1/messages/"):
        return _UNKNOWN_OF_ANTHROPIC
    return _UNKNOWN_OF_API if path.startswith("/v1/") else _UNKNOWN


def endpoint_of(scope: Scope) -> Endpoint:
    """The endpoint of a request, which may be one without a route."""
    return find_endpoint(path_of(scope))


def path_of(scope: Scope) -> str:
    """The path as routes see it: below `--root-path`, which a proxy may have left in or taken away."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path

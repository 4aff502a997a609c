"""API keys: stored as digests, and required on every path that is not public."""

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from ..error_response import refuse
from ..errors import MissingApiKey, StartupError
from ..paths import path_of

#: Environment variables with one key (vLLM's) and with several keys separated by commas.
_SEVERAL = "TENUTO_API_KEYS"
KEY_VARIABLES = ("VLLM_API_KEY", _SEVERAL)

_POLICY_VIOLATION = 1008  # RFC 6455


class KeyRing:
    """The valid keys. Only their SHA-256 digests are stored. An empty ring accepts every request."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key.encode()) for key in keys]

    def __len__(self) -> int:
        return len(self._digests)

    def accepts(self, offered: Iterable[bytes]) -> bool:
        """Whether one of the offered keys is valid. Takes the same time whichever key matches, and if none does."""
        found = False
        for digest in map(_digest, offered):
            for own in self._digests:
                found |= secrets.compare_digest(digest, own)
        return found


def read_keys(given: Iterable[str], file: str | None, environ: Mapping[str, str]) -> KeyRing:
    """All keys of the command line, of the file, and of the environment.

    Raises:
        StartupError: for a key that no client could send, and for a file or variable that exists but holds no key.
    """
    keys = [_checked(key, "--api-key") for key in given]
    if file is not None:
        keys += _keys_in(Path(file))
    for name in KEY_VARIABLES:
        if name in environ:
            keys += _keys_of(name, environ[name])
    return KeyRing(keys)


def _keys_of(variable: str, value: str) -> list[str]:
    keys = [key.strip() for key in (value.split(",") if variable == _SEVERAL else [value]) if key.strip()]
    if not keys:
        raise StartupError(f"{variable} is set but holds no key, which would leave the server open: fill or unset it")
    return [_checked(key, variable) for key in keys]


def _keys_in(file: Path) -> list[str]:
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"--api-key-file: {file} cannot be read: {error}") from error
    keys = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not keys:
        raise StartupError(f"--api-key-file: {file} holds no key")
    return [_checked(key, f"--api-key-file: {file}") for key in keys]


def _checked(key: str, source: str) -> str:
    if not key or any(letter.isspace() for letter in key):
        raise StartupError(f"{source}: a key is empty or contains white space, so no client could send it")
    return key


class ApiKeys:
    """ASGI middleware: refuses requests without a valid key.

    A path is compared as it was sent, never as part of a URL that the Host header influences.

    Args:
        ring: the keys; with none, every HTTP request passes.
        public: paths, exactly as they are routed, that require no key.
    """

    def __init__(self, app: ASGIApp, ring: KeyRing, public: frozenset[str] = frozenset()) -> None:
        self._app, self._ring, self._public = app, ring, public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # no endpoint speaks it
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        elif scope["type"] != "http" or self._is_allowed(scope):
            await self._app(scope, receive, send)
        else:
            await refuse(MissingApiKey(), scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        return not self._ring or path_of(scope) in self._public or self._ring.accepts(_offered(scope))


def _offered(scope: Scope) -> Iterator[bytes]:
    """Keys in the headers: `Authorization: Bearer KEY`, as OpenAI's clients send it, and Anthropic's `x-api-key`."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, key = value.partition(b" ")
            if scheme.lower() == b"bearer":
                yield key.strip()
        elif name == b"x-api-key":
            yield value


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()

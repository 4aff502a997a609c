"""The playground's files, read once, and the headers with which they are sent."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..paths import PLAYGROUND_FILE

STATIC = Path(__file__).parent / "static"
INDEX = "index.html"
BUILT_IN_MODEL = Path(__file__).parents[1] / "s1_tiny"
#: Problems for the built-in model, under the name by which the page asks for them.
_PROBLEMS = "problems.jsonl"

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".svg": "image/svg+xml",
}

#: The page may load what this server serves, and nothing else; no inline script or style, no frame, no plug-in.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "img", "connect", "font")),
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file of the page.

    Attributes:
        content: its bytes.
        media_type: for `Content-Type`.
        tag: for `ETag`; it changes with the content.
    """

    content: bytes
    media_type: str
    tag: str


@cache
def static_files() -> Mapping[str, StaticFile]:
    """All files by their path below the folder, with `/` between its parts. Others are not served."""
    paths = (path for path in sorted(STATIC.rglob("*")) if path.is_file() and path.suffix in _TYPES)
    files = {path.relative_to(STATIC).as_posix(): _read(path) for path in paths}
    problems = BUILT_IN_MODEL / _PROBLEMS
    return files | ({_PROBLEMS: _read(problems)} if problems.is_file() else {})


def _read(path: Path) -> StaticFile:
    content = path.read_bytes()
    return StaticFile(content, _TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def file_paths() -> frozenset[str]:
    """The URL paths of all files."""
    start = PLAYGROUND_FILE.path.removesuffix("{name:path}")
    return frozenset(start + name for name in static_files())

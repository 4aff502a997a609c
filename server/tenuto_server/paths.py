"""The URL paths that exist and what each one is, and how to read the path of a request."""

import re

from starlette.types import Scope

#: Paths where sequences are generated.
GENERATING = frozenset(
    {"/v1/chat/completions", "/v1/chat/completions/batch", "/v1/completions", "/v1/messages", "/v1/responses"}
)

#: Paths where text is tokenized and nothing generated: that takes time and memory too.
TOKENIZING = frozenset({"/tokenize", "/v1/tokenize", "/detokenize", "/v1/detokenize", "/v1/messages/count_tokens"})

#: What can name a request: it goes out with every chunk, and into the log.
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

#: Paths that ask for no key, whatever the options: they tell nothing but whether the server is up.
PROBES = frozenset({"/livez", "/readyz"})
METRICS = frozenset({"/metrics"})
DOCS = frozenset({"/docs", "/docs/oauth2-redirect", "/openapi.json"})

#: Paths that are asked every few seconds: worth neither a line nor a count.
QUIET = frozenset({"/livez", "/readyz", "/metrics"})

#: Prefixes of the paths that admission control guards.
GUARDED = ("/v1/", "/tokenize", "/detokenize")


def path_of(scope: Scope) -> str:
    """The path as routes see it: below `--root-path`, which a proxy may have left in or taken away."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path

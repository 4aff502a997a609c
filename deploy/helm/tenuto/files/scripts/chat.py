"""`helm test`: one chat with a thinking budget, which the reply has to keep.

Arguments: the server's URL, the model's name, and the file with its API keys, if it has any.
"""

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

CAP = 16
_SECONDS = 600  # a 32B model under load


def key_of(file: str) -> str:
    """The first key of a file, as the server reads it."""
    lines = (line.strip() for line in Path(file).read_text().splitlines())
    return next(line for line in lines if line and not line.startswith("#"))


def chat(url: str, model: str, *key_files: str) -> str:
    """Chat with a cap of CAP thinking tokens; says what came back, or exits with what is wrong."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Add 1 2 3"}],
        "max_thinking_tokens": CAP,
        "max_tokens": CAP + 256,
    }
    headers = {"Content-Type": "application/json"}
    if key_files:
        headers["Authorization"] = f"Bearer {key_of(key_files[0])}"
    request = urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:
            choice = json.load(response)["choices"][0]
    except urllib.error.HTTPError as error:
        sys.exit(f"status {error.code}: {error.read().decode(errors='replace')}")
    report = choice["thinking"]
    if report["max_thinking_tokens"] != CAP or report["tokens"] > CAP:
        sys.exit(f"the cap of {CAP} thinking tokens was not enforced: {report}")
    return f"{report['tokens']} thinking tokens of at most {CAP}, ended by {report['ended_by']}: the budget is enforced"


if __name__ == "__main__":
    sys.stdout.write(chat(*sys.argv[1:]) + "\n")

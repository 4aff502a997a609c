"""The process of `tenuto markers`. Standard output is the report alone; errors are one line on standard error."""

import json
import logging
import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict

from ..errors import StartupError
from ..launcher.exit_status import OK, USAGE_ERROR

_DESCRIPTION = """Show how MODEL (a folder or a Hugging Face name; without it, the small built-in one) marks its
thinking, what shows it, how its prompts begin a reply, and what is forced when a budget ends the thinking. Reads the
model's configuration, tokenizer and chat template; loads no weights."""
_EPILOG = """Options of `tenuto serve` have the same effect here, so that a server's command line can be checked:
--thinking-family and the others that begin with --thinking, --chat-template, --default-chat-template-kwargs,
--tokenizer, --tokenizer-mode, --revision, --trust-remote-code. Exit status 2: the markers are not known, or an option
cannot work."""


def main(argv: Sequence[str]) -> int:
    parser = ArgumentParser(
        prog="tenuto markers",
        usage="tenuto markers [MODEL] [--json] [options of tenuto serve]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="write the report as JSON")
    own, rest = parser.parse_known_args(argv)
    # These are read at import.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ["VLLM_LOGGING_STREAM"] = "ext://sys.stderr"
    logging.getLogger("vllm").addHandler(logging.NullHandler())  # while it is imported: no handler would be a warning
    from .report import inspect_model  # imports vLLM
    from .text import as_text

    try:
        report = inspect_model(rest)
    except StartupError as error:
        sys.stderr.write(f"tenuto markers: {error}\n")
        return USAGE_ERROR
    sys.stdout.write(json.dumps(asdict(report), indent=2, ensure_ascii=False) + "\n" if own.json else as_text(report))
    return OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

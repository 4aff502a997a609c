"""`tenuto eval`: measures the test-time scaling of a server."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import tenuto
from tenuto_evaluation import demo
from tenuto_evaluation.errors import EvaluationError

REQUESTS_FAILED = 1
USAGE_ERROR = 2
# A server that is full for a moment must not fail a problem.
RETRIES = tenuto.Retries(limit=10)


def command(argv: Sequence[str]) -> int:
    """Measure how accuracy depends on thinking: sweeps of waits and caps, with tables and plots."""
    options = parser()
    arguments = options.parse_args(argv)
    if not arguments.waits and not arguments.caps:
        options.error("nothing to run: give --waits, --caps or both")
    try:
        failed = run_evaluation(arguments)
    except EvaluationError as error:
        print(f"tenuto eval: {error}", file=sys.stderr)
        return USAGE_ERROR
    if failed:
        print(f"tenuto eval: failed requests: {failed}; answers.jsonl has the reasons", file=sys.stderr)
    return REQUESTS_FAILED if failed else 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="tenuto eval", description=command.__doc__)
    actions = top.add_subparsers(dest="action", required=True, metavar="ACTION")
    text = "evaluate a running server on your own problems"
    run_parser = actions.add_parser("run", help=text, description=text.capitalize() + ".")
    run_parser.add_argument("--url", required=True, help="URL of the server, for example http://127.0.0.1:8000")
    run_parser.add_argument(
        "--problems", type=Path, required=True, help='JSON lines file, one {"question": ..., "answer": ...} per line'
    )
    add_common(run_parser, waits=(), caps=())
    run_parser.add_argument("--model", help="model to use (default: the only model of the server)")
    run_parser.add_argument(
        "--temperature", type=float, default=0.0, help="sampling temperature (default: %(default)s)"
    )
    run_parser.add_argument(
        "--max-tokens", type=parse_positive, help="limit on thinking and answer together (default: the server's)"
    )
    text = "evaluate the built-in model: two tables and two plots in a few minutes"
    demo_parser = actions.add_parser("demo", help=text, description=text.capitalize() + ".")
    demo_parser.add_argument("--url", help="URL of a running server (default: start one, and stop it afterwards)")
    demo_parser.add_argument(
        "--problems", type=Path, help="JSON lines file (default: the held-out problems of the built-in model)"
    )
    add_common(demo_parser, demo.WAITS, demo.CAPS, limit=demo.NUM_PROBLEMS, output=Path("demo"))
    demo_parser.set_defaults(model=None, temperature=0.0, max_tokens=None, concurrency=demo.CONCURRENCY)
    return top


def add_common(
    target: argparse.ArgumentParser,
    waits: Sequence[int],
    caps: Sequence[int],
    limit: int | None = None,
    output: Path = Path("evaluation-results"),
) -> None:
    """Add the options that both actions have."""

    def listed(values: Sequence[int]) -> str:
        return ",".join(map(str, values)) or "none"

    target.add_argument(
        "--waits",
        type=parse_counts,
        default=waits,
        help=f"values of num_waits to run, for example 0,1,2,4 (default: {listed(waits)})",
    )
    target.add_argument(
        "--caps",
        type=parse_counts,
        default=caps,
        help=f"values of max_thinking_tokens to run, for example 16,32,64 (default: {listed(caps)})",
    )
    target.add_argument(
        "--cap-waits",
        type=parse_count,
        help="num_waits of the runs with a cap (default: the most accurate of --waits, or 0)",
    )
    target.add_argument(
        "--limit", type=parse_positive, default=limit, help=f"use the first LIMIT problems (default: {limit or 'all'})"
    )
    target.add_argument(
        "--concurrency", type=parse_positive, default=64, help="requests in flight (default: %(default)s)"
    )
    target.add_argument("--output", type=Path, default=output, help="folder for the results (default: %(default)s)")
    target.add_argument(
        "--api-key", default=os.environ.get("TENUTO_API_KEY"), help="API key (default: $TENUTO_API_KEY)"
    )


def parse_counts(text: str) -> tuple[int, ...]:
    """Parse whole numbers with commas between them."""
    return tuple(parse_count(part) for part in text.split(","))


def parse_count(text: str) -> int:
    if not text.strip().isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number (0 or more)")
    return int(text)


def parse_positive(text: str) -> int:
    if (value := parse_count(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 or more")
    return value


def run_evaluation(arguments: argparse.Namespace) -> int:
    """Run what the command line requests and return the number of failed requests."""
    # matplotlib takes a second to import, and `tenuto --help` imports this module.
    from tenuto_evaluation.evaluate import EvaluationConfig, ResultFiles, evaluate
    from tenuto_evaluation.problems import load_problems
    from tenuto_evaluation.runner import RequestSettings

    problems = load_problems(arguments.problems or demo.problems_file(), arguments.limit)
    settings = RequestSettings(arguments.model, arguments.temperature, arguments.max_tokens, arguments.concurrency)
    config = EvaluationConfig(problems, arguments.waits, arguments.caps, settings, arguments.cap_waits)
    files = ResultFiles(arguments.output, tables=sys.stdout, progress=sys.stderr)

    async def run(url: str) -> int:
        async with tenuto.AsyncClient(url, api_key=arguments.api_key, retries=RETRIES) as client:
            return await evaluate(client, config, files)

    arguments.output.mkdir(parents=True, exist_ok=True)
    with nullcontext(arguments.url) if arguments.url else start_server(arguments.output) as url:
        failed = asyncio.run(run(url))
    print(f"results: {arguments.output}/ ({', '.join(sorted(path.name for path in arguments.output.iterdir()))})")
    return failed


def start_server(output: Path) -> AbstractContextManager[str]:
    from tenuto_evaluation.launch import TENUTO_SERVE, serving

    return serving(TENUTO_SERVE, output / "server.log", sys.stderr)

"""`tenuto eval`: test-time scaling of a server, from the command line."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import tenuto
from tenuto_evaluation import built_in
from tenuto_evaluation.errors import EvaluationError

ANY_FAILURE = 1
USAGE_ERROR = 2
# A server that is full for a moment must not cost a problem.
PATIENCE = tenuto.Retries(limit=10)


def command(argv: Sequence[str]) -> int:
    """Measure accuracy against thinking: waits and caps, tables and plots."""
    options = parser()
    arguments = options.parse_args(argv)
    if not arguments.waits and not arguments.caps:
        options.error("nothing to run: give --waits, --caps or both")
    try:
        failed = measure(arguments)
    except EvaluationError as error:
        print(f"tenuto eval: {error}", file=sys.stderr)
        return USAGE_ERROR
    if failed:
        print(f"tenuto eval: requests that failed: {failed}; answers.jsonl tells why", file=sys.stderr)
    return ANY_FAILURE if failed else 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="tenuto eval", description=command.__doc__)
    actions = top.add_subparsers(dest="action", required=True, metavar="ACTION")
    run_parser = actions.add_parser("run", help="evaluate a running server on problems of yours")
    run_parser.add_argument("--url", required=True, help="the server, for example http://127.0.0.1:8000")
    run_parser.add_argument("--problems", type=Path, required=True, help='JSON lines of {"question", "answer"}')
    add_common(run_parser, waits=(), caps=())
    run_parser.add_argument("--model", help="model name (default: the server's only one)")
    run_parser.add_argument("--temperature", type=float, default=0.0)
    run_parser.add_argument("--max-tokens", type=positive, help="limit on a whole reply (default: the server's)")
    demo_parser = actions.add_parser("demo", help="the built-in model: two tables and two plots in a few minutes")
    demo_parser.add_argument("--url", help="a server that runs already (default: start one, and end it afterwards)")
    demo_parser.add_argument("--problems", type=Path, help="(default: the built-in model's held-out problems)")
    add_common(demo_parser, built_in.WAITS, built_in.CAPS, limit=built_in.NUM_PROBLEMS, output=Path("demo"))
    demo_parser.set_defaults(model=None, temperature=0.0, max_tokens=None, concurrency=built_in.CONCURRENCY)
    return top


def add_common(
    target: argparse.ArgumentParser,
    waits: Sequence[int],
    caps: Sequence[int],
    limit: int | None = None,
    output: Path = Path("evaluation-results"),
) -> None:
    target.add_argument("--waits", type=counts, default=waits, help="numbers of waits to run, for example 0,1,2,4")
    target.add_argument("--caps", type=counts, default=caps, help="caps to run, for example 16,32,64")
    target.add_argument("--cap-waits", type=count, help="waits in the runs with a cap (default: what did best)")
    target.add_argument("--limit", type=positive, default=limit, help="only the first so many problems")
    target.add_argument("--concurrency", type=positive, default=64, help="requests in flight (default: %(default)s)")
    target.add_argument("--output", type=Path, default=output, help="folder for the results (default: %(default)s)")
    target.add_argument("--api-key", default=os.environ.get("TENUTO_API_KEY"), help="(default: $TENUTO_API_KEY)")


def counts(text: str) -> tuple[int, ...]:
    """ "0,1,2" as numbers."""
    return tuple(count(part) for part in text.split(","))


def count(text: str) -> int:
    if not text.strip().isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def positive(text: str) -> int:
    if (value := count(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not at least 1")
    return value


def measure(arguments: argparse.Namespace) -> int:
    """Run what the command line asks for; the number of requests that failed."""
    # matplotlib takes a second to import, and `tenuto --help` imports this module.
    from tenuto_evaluation.evaluate import Outputs, Plan, evaluate
    from tenuto_evaluation.runner import Settings
    from tenuto_evaluation.tasks import load_problems

    problems = load_problems(arguments.problems or built_in.problems_file(), arguments.limit)
    settings = Settings(arguments.model, arguments.temperature, arguments.max_tokens, arguments.concurrency)
    plan = Plan(problems, arguments.waits, arguments.caps, settings, arguments.cap_waits)
    outputs = Outputs(arguments.output, tables=sys.stdout, progress=sys.stderr)

    async def call(url: str) -> int:
        async with tenuto.AsyncClient(url, api_key=arguments.api_key, retries=PATIENCE) as client:
            return await evaluate(client, plan, outputs)

    arguments.output.mkdir(parents=True, exist_ok=True)
    with nullcontext(arguments.url) if arguments.url else own_server(arguments.output) as url:
        failed = asyncio.run(call(url))
    print(f"results: {arguments.output}/ ({', '.join(sorted(path.name for path in arguments.output.iterdir()))})")
    return failed


def own_server(output: Path) -> AbstractContextManager[str]:
    from tenuto_evaluation.launch import TENUTO_SERVE, serving

    return serving(TENUTO_SERVE, output / "server.log", sys.stderr)

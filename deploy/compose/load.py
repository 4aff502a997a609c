"""Requests with budgets of all kinds, so that the dashboards have something to show.

    docker compose exec tenuto python3 /srv/load.py [--minutes 5] [--concurrency 8]

Each request asks a random question with one of BUDGETS. With API keys, $TENUTO_API_KEY must be one of them.
"""

import argparse
import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import tenuto

BUDGETS: Sequence[Mapping[str, Any]] = (
    {},
    {"num_waits": 1},
    {"num_waits": 4},
    {"min_thinking_tokens": 100},
    {"max_thinking_tokens": 20},
    {"max_thinking_tokens": 60, "landing_tokens": 30},
    {"reasoning_effort": "none"},
    {"reasoning_effort": "low"},
    {"reasoning_effort": "high", "n": 2},
)
GOODS = ("soup", "fish", "juice", "beans", "plums", "bread", "rice", "tea")


def question(rng: random.Random) -> str:
    """An addition, of the kind that the built-in model has learned."""
    bill = ", ".join(f"{rng.choice(GOODS)} {rng.randint(2, 9)}" for _ in range(rng.randint(2, 8)))
    return f"Add up this bill: {bill}"


async def ask(client: tenuto.AsyncClient, rng: random.Random, until: float, endings: Counter[str]) -> None:
    """Send one request after the other until the time, and count what ended the thinking of each reply."""
    while time.monotonic() < until:
        try:
            reply = await client.chat(question(rng), temperature=0.7, **rng.choice(BUDGETS))
        except tenuto.TenutoError as error:
            endings[type(error).__name__] += 1
            await asyncio.sleep(1)
        else:
            endings.update(choice.thinking.ended_by for choice in reply.choices if choice.thinking is not None)


async def load(url: str, api_key: str | None, minutes: float, concurrency: int) -> Counter[str]:
    """Keep a number of requests running for some minutes; how often thinking ended by what, and errors by class."""
    until, endings, rng = time.monotonic() + 60 * minutes, Counter[str](), random.Random()
    async with tenuto.AsyncClient(url, api_key=api_key) as client:
        await asyncio.gather(*(ask(client, rng, until, endings) for _ in range(concurrency)))
    return endings


def main() -> None:
    parser = argparse.ArgumentParser(description="Send requests with budgets of all kinds.")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the server (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=5, help="how long (default: %(default)s)")
    parser.add_argument("--concurrency", type=int, default=8, help="requests at a time (default: %(default)s)")
    options = parser.parse_args()
    endings = asyncio.run(load(options.url, os.environ.get("TENUTO_API_KEY"), options.minutes, options.concurrency))
    print(", ".join(f"{name}: {count}" for name, count in endings.most_common()))


if __name__ == "__main__":
    main()

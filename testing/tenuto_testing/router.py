"""vLLM's router in front of servers, with the options that docs/scaling.md recommends."""

import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tenuto_evaluation.launch import LaunchedServer, free_port, launched

PAGE = Path(__file__).parents[2] / "docs/scaling.md"
VLLM_ROUTER = Path(sys.executable).with_name("vllm-router")
#: Options of the documented command that say where things are.
_PLACES = ("--host", "--port", "--worker-urls", "--prometheus-host", "--prometheus-port")


def documented(*texts: str, **addresses: str) -> str:
    """The first commands, or the first code, in the page that contain all these texts.

    Args:
        addresses: `port_8080="http://..."` puts an address in the place of the one that the page shows with this port.
    """
    blocks: list[str] = re.findall(r"```(?:bash|python)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    found = next(block for block in blocks if all(text in block for text in texts))
    for port, address in addresses.items():
        found = found.replace(f"http://127.0.0.1:{port.removeprefix('port_')}", address)
    return found


def documented_options() -> list[str]:
    """The options of the router's command in the page, without those that say where things are."""
    words = shlex.split(documented("vllm-router", "--policy").replace("\\\n", " "))
    assert words[0] == "vllm-router", f"not a command of the router: {words}"
    options: list[list[str]] = []
    for word in words[1:]:
        if word.startswith("--"):
            options.append([])
        options[-1].append(word)
    return [word for option in options if option[0] not in _PLACES for word in option]


@contextmanager
def routing(log: Path, *workers: str, options: tuple[str, ...] = ()) -> Iterator[LaunchedServer]:
    """The router on a free port in front of servers at these URLs, ready; it is killed when the block is left.

    Args:
        options: in addition to the documented ones, which they replace.
    """
    ports = ("--prometheus-port", str(free_port()))
    command = [str(VLLM_ROUTER), *documented_options(), *options, *ports, "--worker-urls", *workers]
    with launched(command, log, stop_seconds=0) as router:
        router.wait_until_ready("/readiness", limit=60)
        yield router

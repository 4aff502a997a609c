"""Pictures of all boards: two servers, their traffic, a Prometheus, and Chromium, for about four minutes."""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tenuto_evaluation.launch import exit_on_sigterm
from tenuto_testing.prometheus import Prometheus, prometheus
from tenuto_testing.servers import RunningServer, serving
from tenuto_testing.varied_load import VariedLoad

from .answers import Selection, drawing
from .browser import OUT, chromium, draw
from .traffic import BLOCKS, RUNNING, WAITING, traffic

ROOT = Path(__file__).parents[3]
BOARDS = ROOT / "deploy/observability/dashboards"
MODELS = ("model-a", "model-b")
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
#: Before the servers are ready, and the range of rates.
LEAD_SECONDS, RATE_SECONDS, STEP_SECONDS = 10, 15, 2
#: A cap that cuts some of the load's thinking.
VARIABLES = {"cap": "50.0", "slo_first_answer": "5.0", "slo_first_thinking": "0.5"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tenuto_pictures", description=__doc__)
    parser.add_argument("--seconds", type=float, default=150, help="of traffic")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the pictures")
    options = parser.parse_args()
    chromium()
    with exit_on_sigterm(), tempfile.TemporaryDirectory() as folder:
        for path in run(Path(folder), options.seconds, options.out):
            print(f"{path} ({path.stat().st_size // 1024} kB)")  # noqa: T201


def run(folder: Path, seconds: float, out: Path) -> Sequence[Path]:
    """Start everything, send the traffic, draw all boards, and end everything."""
    with ExitStack() as stack:
        servers = [
            stack.enter_context(serving(folder / f"{name}.log", *_options(name), environment=ENVIRONMENT))
            for name in MODELS
        ]
        for server in servers:
            server.wait_until(server.listening)
        targets = {f"server-{index + 1}": server.url.removeprefix("http://") for index, server in enumerate(servers)}
        source = stack.enter_context(prometheus(folder, targets))
        for server in servers:
            server.wait_until(server.ready)
        begin = int(time.time())
        asyncio.run(traffic(_loads(servers), seconds))
        return pictures(source, begin - LEAD_SECONDS, int(begin + seconds), out)


def pictures(source: Prometheus, start: int, end: int, out: Path) -> Sequence[Path]:
    """Draw every board for a time, in Unix seconds."""
    chosen = Selection(start, end, STEP_SECONDS, RATE_SECONDS, VARIABLES)
    boards = {out / f"{path.stem}.png": json.loads(path.read_text()) for path in sorted(BOARDS.glob("*.json"))}
    draw({path: drawing(board, source, chosen) for path, board in boards.items()})
    return list(boards)


def _options(name: str) -> Sequence[str]:
    limits = {"--max-num-seqs": RUNNING, "--max-queued-requests": WAITING, "--num-gpu-blocks-override": BLOCKS}
    return ["--served-model-name", name, *(text for limit in limits.items() for text in map(str, limit))]


def _loads(servers: Sequence[RunningServer]) -> list[VariedLoad]:
    return [VariedLoad(server.url, name, seed) for seed, (name, server) in enumerate(zip(MODELS, servers, strict=True))]


if __name__ == "__main__":
    main()

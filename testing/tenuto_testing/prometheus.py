"""A real Prometheus for as long as a test needs it, and its HTTP API."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tenuto_evaluation.launch import HOST, end_group, end_with_parent, free_port, tail

from .servers import NO_TLS

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / ".venv/prometheus/prometheus"
RULES = ROOT / "deploy/observability/prometheus"
START_SECONDS = 60.0
STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Result:
    """One series of an answer.

    Attributes:
        labels: with the name as `__name__`, where it has one.
        points: (Unix time in seconds, value), one for an instant query.
    """

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]

    @property
    def value(self) -> float:
        """The last one."""
        return self.points[-1][1]


class QueryFailed(Exception):
    """Prometheus refused a query, with its reason."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A Prometheus that runs.

    Attributes:
        interval: between two scrapes, in seconds.
        job: of all its targets.
    """

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    interval: float
    job: str
    client: httpx.Client

    def query(self, expr: str, at: float | None = None) -> list[Result]:
        """The value of an expression at a Unix time, by default now. A scalar is one result without labels.

        Raises:
            QueryFailed: if it is not valid, or cannot be computed.
        """
        answer = self._get("/api/v1/query", query=expr, **({} if at is None else {"time": repr(at)}))
        if answer["resultType"] == "scalar":
            return [Result({}, [_point(answer["result"])])]
        return [Result(each["metric"], [_point(each["value"])]) for each in answer["result"]]

    def query_range(self, expr: str, start: float, end: float, step: float) -> list[Result]:
        """The values of an expression at all steps of a time, each end included.

        Raises:
            QueryFailed: if it is not valid, or cannot be computed.
        """
        answer = self._get("/api/v1/query_range", query=expr, start=repr(start), end=repr(end), step=repr(step))
        return [Result(each["metric"], list(map(_point, each["values"]))) for each in answer["result"]]

    def label_values(self, label: str, selector: str) -> list[str]:
        values: list[str] = self._get(f"/api/v1/label/{label}/values", **{"match[]": selector})
        return values

    def rules(self) -> list[dict[str, Any]]:
        """All rules with their state, `health` and `lastError` among it."""
        return [rule for group in self._get("/api/v1/rules")["groups"] for rule in group["rules"]]

    def scraped(self, instance: str) -> float:
        """Time of the last successful scrape of an instance; 0 before the first."""
        up = f'up{{instance="{instance}"}}'
        found = self.query(f"timestamp({up}) and {up} == 1")
        return found[0].value if found else 0.0

    def wait_for_scrapes(self, instances: Sequence[str], number: int = 2) -> None:
        """Wait until each instance was scraped that often from now on, so that what it exports now is recorded."""
        begin = time.time()
        for instance in instances:
            self.wait_until(lambda name=instance: self.scraped(name) > begin + (number - 1) * self.interval)  # type: ignore[misc]

    def wait_until(self, condition: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        """Wait for a condition. Fails at once if Prometheus ends."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"Prometheus ended:\n{tail(self.log)}"
            assert time.monotonic() < deadline, f"not within {seconds} s:\n{tail(self.log)}"
            time.sleep(0.1)

    def _get(self, path: str, **parameters: str) -> Any:
        answer = self.client.get(path, params=parameters).json()
        if answer["status"] != "success":
            raise QueryFailed(f"{answer['errorType']}: {answer['error']} ({parameters})")
        return answer["data"]

    def _is_ready(self) -> bool:
        try:
            return self.client.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def prometheus(
    folder: Path, targets: Mapping[str, str], *, interval: float = 1.0, job: str = "tenuto"
) -> Iterator[Prometheus]:
    """Start a Prometheus with this repository's rules on a free port, and end it in every case.

    Args:
        folder: for its configuration, data and log.
        targets: `host:port` of each server to scrape, by its value of the label `instance`.
        interval: between two scrapes and two evaluations of the rules, in seconds.
    """
    configuration, log = folder / "prometheus.yml", folder / "prometheus.log"
    configuration.write_text(_configuration(targets, interval, job))
    address = f"{HOST}:{free_port()}"
    command = (str(PROGRAM), f"--config.file={configuration}", f"--web.listen-address={address}", "--log.level=warn")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, f"--storage.tsdb.path={folder / 'data'}"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
            preexec_fn=end_with_parent if sys.platform == "linux" else None,
        )
    try:
        with httpx.Client(base_url=f"http://{address}", timeout=30, verify=NO_TLS) as client:
            started = Prometheus(f"http://{address}", process, log, interval, job, client)
            started.wait_until(started._is_ready)
            yield started
    finally:
        end_group(process, STOP_SECONDS)


def _configuration(targets: Mapping[str, str], interval: float, job: str) -> str:
    groups = [f"{{targets: ['{address}'], labels: {{instance: {name}}}}}" for name, address in targets.items()]
    lines = [
        f"global: {{scrape_interval: {round(interval * 1000)}ms, evaluation_interval: {round(interval * 1000)}ms}}",
        f"rule_files: {sorted(map(str, RULES.glob('*.rules.yml')))}",
        f"scrape_configs: [{{job_name: {job}, static_configs: [{', '.join(groups)}]}}]",
    ]
    return "\n".join(lines)


def _point(pair: tuple[float, str]) -> tuple[float, float]:
    return pair[0], float(pair[1])

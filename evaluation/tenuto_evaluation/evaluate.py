"""Runs the two sweeps of the paper's Figure 1 on one server, waits and caps, and writes tables, plots and results."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import tenuto
from tenuto_evaluation.methods import Method, Sweep, caps_sweep, waits_sweep
from tenuto_evaluation.plots import plot_accuracy
from tenuto_evaluation.problems import Problem
from tenuto_evaluation.runner import ProblemResult, RequestSettings, RunProgress, run
from tenuto_evaluation.summary import Summary, most_accurate, summarise, sweep_metrics
from tenuto_evaluation.tables import header, markdown, metrics_line, plain, row


@dataclass(frozen=True)
class EvaluationConfig:
    """What to run. With `cap_waits` None, the sweep of caps uses the most accurate number of waits."""

    problems: Sequence[Problem]
    waits: Sequence[int]
    caps: Sequence[int]
    settings: RequestSettings
    cap_waits: int | None = None


@dataclass(frozen=True)
class ResultFiles:
    """Where to write: files into `folder`, tables to `tables`, progress to `progress`."""

    folder: Path
    tables: TextIO
    progress: TextIO

    @property
    def answers(self) -> Path:
        return self.folder / "answers.jsonl"

    def create(self) -> None:
        """Create the file of answers, or empty it."""
        self.answers.write_text("")

    def add_answers(self, sweep: Sweep, method: Method, results: Sequence[ProblemResult]) -> None:
        """Append one line for each problem."""
        with self.answers.open("a", encoding="utf-8") as file:
            for result in results:
                line = {"sweep": sweep.name, "method": method.label, **asdict(result)}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def write_sweep(self, sweep: Sweep, summaries: Sequence[Summary]) -> None:
        """Print the table of a sweep, and write it as Markdown with its plot."""
        head, rows = header(sweep.column), [row(summary) for summary in summaries]
        metrics = metrics_line(sweep_metrics(summaries))
        self.tables.write(f"\n{sweep.title}\n\n{plain(head, rows)}\n\n{metrics}\n\n")
        self.tables.flush()
        text = f"## {sweep.title}\n\n{markdown(head, rows)}\n\n{metrics}\n"
        (self.folder / f"{sweep.name}.md").write_text(text, encoding="utf-8")
        plot_accuracy(sweep, summaries, self.folder / f"{sweep.name}.png")


async def evaluate(client: tenuto.AsyncClient, config: EvaluationConfig, files: ResultFiles) -> int:
    """Run the sweeps and return the number of failed requests. An empty list of waits or caps skips that sweep."""
    files.create()
    sweeps: dict[str, list[Summary]] = {}
    cap_waits = config.cap_waits or 0
    if config.waits:
        sweeps["waits"] = await run_sweep(client, waits_sweep(config.waits), config, files)
        if config.cap_waits is None:
            cap_waits = most_accurate(sweeps["waits"]).method.budget["num_waits"]
    if config.caps:
        sweeps["caps"] = await run_sweep(client, caps_sweep(config.caps, cap_waits), config, files)
    write_results(config, sweeps, files.folder / "results.json")
    return sum(summary.failed for summaries in sweeps.values() for summary in summaries)


async def run_sweep(
    client: tenuto.AsyncClient, sweep: Sweep, config: EvaluationConfig, files: ResultFiles
) -> list[Summary]:
    summaries = []
    for method in sweep.methods:
        progress = RunProgress(f"{sweep.column} {method.label}", len(config.problems), files.progress)
        results = await run(client, method, config.problems, config.settings, progress)
        files.add_answers(sweep, method, results)
        summaries.append(summarise(method, results))
    files.write_sweep(sweep, summaries)
    return summaries


def write_results(config: EvaluationConfig, summaries: dict[str, list[Summary]], path: Path) -> None:
    """Write the settings, the summary of every run and the metrics of each sweep as JSON."""
    sweeps = {
        name: {"metrics": asdict(sweep_metrics(runs)), "runs": [summary.to_dict() for summary in runs]}
        for name, runs in summaries.items()
    }
    results = {"problems": len(config.problems), "settings": asdict(config.settings), "sweeps": sweeps}
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")

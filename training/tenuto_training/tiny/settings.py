"""Settings of a run. Imports nothing heavy: the command line reads its defaults here."""

from dataclasses import dataclass, fields
from pathlib import Path

from tenuto_training.errors import InvalidSetting

CHECKOUT = Path(__file__).resolve().parents[3]
"""The repository, when the package runs from one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What decides the weights (all but `problems`), on one kind of processor and one build of PyTorch.

    Attributes:
        seed: of the weights and of the examples.
        steps: optimiser steps.
        batch_size: examples a step.
        threads: of PyTorch; sums are split by it, so another count gives slightly other weights.
        problems: held-out problems to evaluate on and to export.
    """

    seed: int = 1
    steps: int = 1200
    batch_size: int = 16
    threads: int = 1
    problems: int = 400

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            lowest = 0 if field.name == "seed" else 1
            if value < lowest:
                raise InvalidSetting(f"{field.name} is {value}: it must be at least {lowest}")


def default_output() -> Path:
    """The folder of the built-in model in the server's package, where this runs from a checkout of the repository.

    Raises:
        InvalidSetting: when there is no such checkout.
    """
    package = CHECKOUT / "server" / "tenuto_server"
    if not package.is_dir():
        raise InvalidSetting(
            "output is not given, and there is no checkout of the repository to write to: name a folder"
        )
    return package / "s1_tiny"

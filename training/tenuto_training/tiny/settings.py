"""Settings of a training run. Does not import PyTorch: the command line reads its defaults here."""

from dataclasses import dataclass, fields
from pathlib import Path

from tenuto_training.errors import InvalidSetting

CHECKOUT = Path(__file__).resolve().parents[3]
"""The repository, if the package runs from a checkout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """All of these except `problems` determine the weights, for one kind of processor and one build of PyTorch.

    Attributes:
        seed: seed of the weights and of the examples.
        steps: optimizer steps.
        batch_size: examples in each step.
        threads: PyTorch threads. They split sums, so another number gives slightly different weights.
        problems: held-out problems to evaluate on and to write to `problems.jsonl`.
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
    """Return the folder of the built-in model in the server's package of the checkout.

    Raises:
        InvalidSetting: if the package does not run from a checkout.
    """
    package = CHECKOUT / "server" / "tenuto_server"
    if not package.is_dir():
        raise InvalidSetting("--output is required outside a checkout of the repository")
    return package / "s1_tiny"

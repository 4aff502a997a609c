"""
Our exceptions:

* ThinkingError (a ValueError: each of them is about a value that the caller gave)
  x InvalidBudget        a field of a thinking budget is wrong; `field` names it
  x UnknownMarkers       how this model opens and closes its thinking is not known
  x UnsupportedEngine    the engine is configured in a way that budgets cannot be enforced
"""


class ThinkingError(ValueError):
    """Root of what this package raises."""


class InvalidBudget(ThinkingError):
    """A budget with a wrong value, or one that cannot be enforced.

    Args:
        field: name of the request field that is wrong, as the caller wrote it.
        reason: what is wrong with it: the value and the bound.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class UnknownMarkers(ThinkingError):
    """No family of thinking markers fits the tokenizer and chat template, and none was named."""


class UnsupportedEngine(ThinkingError):
    """The engine's configuration rules budget forcing out; the message says which option and what to do."""

"""
* EvaluationError      the caller can fix it; the message says how
  + InvalidProblems    the problems file is missing, or a line of it is not a problem
  + ServerFailed       the server did not start, or every request of a run failed
"""


class EvaluationError(Exception):
    """Root of the tree above."""


class InvalidProblems(EvaluationError):
    """The problems file is missing, or a line of it is not a problem."""


class ServerFailed(EvaluationError):
    """The server did not start, or every request of a run failed."""

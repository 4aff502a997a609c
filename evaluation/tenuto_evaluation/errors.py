"""
* EvaluationError      something that the caller can mend; the message says what
  + InvalidProblems    the problems file is missing or a line of it is not a problem
  + ServerFailed       the server did not come up, or answered no request of a run
"""


class EvaluationError(Exception):
    """Root of the tree above."""


class InvalidProblems(EvaluationError):
    """The problems file is missing or a line of it is not a problem."""


class ServerFailed(EvaluationError):
    """The server did not come up, or answered no request of a run."""

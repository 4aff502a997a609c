"""
The exceptions of this package:

* TrainingError
  + InvalidSetting
  + FormatError
"""


class TrainingError(Exception):
    """Root of the tree above."""


class InvalidSetting(TrainingError, ValueError):
    """A setting is out of range; the message names the setting, its value and the limit."""


class FormatError(TrainingError, ValueError):
    """A text or a token sequence does not follow the s1 format."""

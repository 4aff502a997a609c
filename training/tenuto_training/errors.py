"""
What goes wrong here:

* TrainingError
  + InvalidSetting
  + FormatError
"""


class TrainingError(Exception):
    """Root of the errors that this package raises on purpose."""


class InvalidSetting(TrainingError, ValueError):
    """A setting is outside its bounds; the message names the setting, its value and the bound."""


class FormatError(TrainingError, ValueError):
    """A text or a token sequence does not follow the s1 format."""

"""Client of a Tenuto server: ask a reasoning model, and say how long it may and must think."""

from tenuto._version import __version__

__all__ = ["__version__"]

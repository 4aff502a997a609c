"""Splits generated text into reasoning and content at the markers that budgets use. May import `tenuto_decoding` only.

vLLM imports this package by name to register the reasoning parser, also in its engine process, so it loads no more.
"""

from .parser import NAME, MarkerReasoningParser, use_markers

__all__ = ["NAME", "MarkerReasoningParser", "use_markers"]

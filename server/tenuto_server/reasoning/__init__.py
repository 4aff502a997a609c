"""Splits generated text into reasoning and content where budgets count. May import `tenuto_decoding` only.

vLLM imports this package by name where it needs the parser, also in its engine process.
"""

from .parser import NAME, MarkerReasoningParser, use_markers, with_reasoning_content

__all__ = ["NAME", "MarkerReasoningParser", "use_markers", "with_reasoning_content"]

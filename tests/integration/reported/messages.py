"""Messages, tool calls, stop strings and completions whose reply differs from what was asked."""

from tenuto_testing.reported_case import Case

CASES: list[Case] = []

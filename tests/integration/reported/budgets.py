"""What requests say about thinking under any name, and what they get by default."""

from tenuto_testing.reported_case import Case

CASES: list[Case] = []

"""Requests to `/v1/responses` whose reply differs from what was asked or from what it says."""

from tenuto_testing.reported_case import Case

CASES: list[Case] = []

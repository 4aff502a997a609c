"""Requests that are read wrongly or refused wrongly: histories, nulls, wrong types, endless lists."""

from tenuto_testing.reported_case import Case

CASES: list[Case] = []

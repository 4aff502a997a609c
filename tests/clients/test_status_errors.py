"""The exception for each status, and Retry-After."""

import datetime
from email.utils import format_datetime

import httpx
import pytest

import tenuto
from tenuto.status_errors import retry_after, status_error


def test_retry_after_may_be_a_date() -> None:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=100)
    seconds = retry_after(format_datetime(moment, usegmt=True))
    assert seconds is not None
    assert 90 < seconds <= 100
    assert retry_after("Sun, 06 Nov 1994 08:49:37 GMT") == 0.0


@pytest.mark.parametrize("header", [None, "", "soon"])
def test_an_invalid_retry_after_counts_as_absent(header: str | None) -> None:
    assert retry_after(header) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, tenuto.BadRequest),
        (401, tenuto.Unauthorized),
        (403, tenuto.Unauthorized),
        (404, tenuto.NotFound),
        (413, tenuto.BadRequest),
        (418, tenuto.APIError),
        (422, tenuto.BadRequest),
        (429, tenuto.Overloaded),
        (500, tenuto.ServerError),
        (502, tenuto.ServerError),
        (503, tenuto.Overloaded),
    ],
)
def test_each_status_has_its_exception(status: int, kind: type[tenuto.APIError]) -> None:
    error = status_error(httpx.Response(status, json={"error": {"message": "no", "param": "num_waits", "code": 7}}))
    assert type(error) is kind
    assert (error.status, error.message, error.param, error.code) == (status, "no", "num_waits", 7)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"error": "Unauthorized"}', "Unauthorized"),
        (b"<html>proxy</html>", "<html>proxy</html>"),
        (b"[1]", "[1]"),
        (b"", "Bad Gateway"),
    ],
)
def test_an_error_of_another_shape_is_quoted(content: bytes, message: str) -> None:
    assert status_error(httpx.Response(502, content=content)).message == message

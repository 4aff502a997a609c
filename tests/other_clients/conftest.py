"""A running server, named in the environment: the clients' environment has no engine."""

import os

import pytest

URL = os.environ["TENUTO_URL"]
MODEL = "s1-tiny"
QUESTION = "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"


@pytest.fixture(scope="session")
def url() -> str:
    return URL

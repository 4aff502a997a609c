"""A running server, named on the command line: the clients' environment has no engine."""

import pytest

MODEL = "s1-tiny"
QUESTION = "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--url", required=True, help="where the server listens")


@pytest.fixture(scope="session")
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.config.getoption("--url")
    return found

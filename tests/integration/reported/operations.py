"""Requests that depend on how the server is operated."""

from tenuto_testing.reported_case import Case

CASES: list[Case] = [
    Case(
        name="a chat in one piece and streamed is the same",
        path="/v1/chat/completions",
        body={"messages": [{"role": "user", "content": "Add up this bill: soup 9, fish 4"}], "temperature": 0},
    ),
    Case(
        name="a message in one piece and streamed is the same",
        path="/v1/messages",
        body={
            "messages": [{"role": "user", "content": "Add up this bill: soup 9, fish 4"}],
            "temperature": 0,
            "max_tokens": 500,
        },
    ),
    Case(
        name="a completion in one piece and streamed is the same",
        path="/v1/completions",
        body={"prompt": "Add up", "temperature": 0, "max_tokens": 20, "logprobs": 2},
    ),
]

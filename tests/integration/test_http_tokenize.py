"""Texts to tokens and back, on vLLM's paths and under `/v1`."""

import pytest

from tenuto_testing.reply_counter import ReplyCounter
from tenuto_testing.servers import MODEL, RunningServer


@pytest.mark.parametrize("base", ["", "/v1"])
def test_a_text_survives_the_round_trip(server: RunningServer, counter: ReplyCounter, base: str) -> None:
    text = "<|im_start|>think\n0 + 9 = 9\n"
    tokens = server.post(f"{base}/tokenize", prompt=text).json()
    assert tokens["tokens"] == counter.encode(text)
    assert tokens["count"] == len(tokens["tokens"])
    assert tokens["max_model_len"] == 4096
    assert server.post(f"{base}/detokenize", tokens=tokens["tokens"]).json() == {"prompt": text}


def test_messages_have_the_tokens_of_the_prompt(server: RunningServer, questions: list[str]) -> None:
    messages = [{"role": "user", "content": questions[0]}]
    count = server.post("/tokenize", messages=messages, return_token_strs=True).json()
    usage = server.chat(model=MODEL, messages=messages, max_tokens=1).json()["usage"]
    assert count["count"] == len(count["token_strs"]) == usage["prompt_tokens"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/tokenize", {}, 400),
        ("/tokenize", {"prompt": 3}, 400),
        ("/tokenize", {"model": "unknown", "prompt": "x"}, 404),
        ("/tokenize", {"messages": [{"role": "user", "content": "x"}], "chat_template": "{{ 1 }}"}, 400),
        ("/v1/detokenize", {"tokens": [-1]}, 400),
        ("/v1/detokenize", {"tokens": [2**62]}, 400),
        ("/v1/detokenize", {"model": "unknown", "tokens": [1]}, 404),
    ],
    ids=str,
)
def test_an_invalid_request_gets_an_error_in_openais_format(
    server: RunningServer, path: str, body: dict[str, object], status: int
) -> None:
    response = server.post(path, **body)
    assert response.status_code == response.json()["error"]["code"] == status

"""An invalid request gets an error in OpenAI's format before anything is generated, and the server goes on."""

from typing import Any

import httpx
import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from tenuto_testing.servers import MODEL, RunningServer

HUGE = 10**30

#: (fields, the parameter that the error names, a part of its message)
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"max_thinking_tokens": -1}, "max_thinking_tokens", "-1 is not between 0 and"),
    ({"max_thinking_tokens": "5"}, "max_thinking_tokens", "'5' is not a whole number"),
    ({"max_thinking_tokens": 2.0}, "max_thinking_tokens", "did you mean 2?"),
    ({"max_thinking_tokens": True}, "max_thinking_tokens", "True is not a whole number"),
    ({"max_thinking_tokens": float("nan")}, "max_thinking_tokens", "nan is not a whole number"),
    ({"max_thinking_tokens": float("inf")}, "max_thinking_tokens", "inf is not a whole number"),
    ({"max_thinking_tokens": HUGE}, "max_thinking_tokens", "is not between 0 and"),
    ({"max_thinking_tokens": [3]}, "max_thinking_tokens", "[3] is not a whole number"),
    ({"max_thinking_tokens": {}}, "max_thinking_tokens", "{} is not a whole number"),
    ({"min_thinking_tokens": -1}, "min_thinking_tokens", "-1 is not between 0 and"),
    ({"min_thinking_tokens": "5"}, "min_thinking_tokens", "is not a whole number"),
    ({"min_thinking_tokens": float("nan")}, "min_thinking_tokens", "is not a whole number"),
    ({"min_thinking_tokens": HUGE}, "min_thinking_tokens", "is not between 0 and"),
    ({"min_thinking_tokens": 6, "max_thinking_tokens": 5}, "min_thinking_tokens", "6 is above max_thinking_tokens"),
    ({"num_waits": -1}, "num_waits", "-1 is not between 0 and"),
    ({"num_waits": 1.5}, "num_waits", "is not a whole number"),
    ({"num_waits": HUGE}, "num_waits", "is above 1024, the most that this server allows"),
    ({"wait_text": 3, "num_waits": 1}, "wait_text", "3 is neither a text nor a list"),
    ({"wait_text": [], "num_waits": 1}, "wait_text", "at least one text"),
    ({"wait_text": ["a", 3], "num_waits": 1}, "wait_text", "3 is not a text"),
    ({"wait_text": "x" * 5000, "num_waits": 1}, "wait_text", "has 5000 characters"),
    ({"wait_text": "<|im_end|>", "num_waits": 1}, "wait_text", "a control token or marker"),
    ({"cap_text": 3, "max_thinking_tokens": 5}, "cap_text", "3 is not a text"),
    ({"cap_text": "<|im_start|>answer", "max_thinking_tokens": 5}, "cap_text", "a control token or marker"),
    ({"landing_tokens": -1, "max_thinking_tokens": 5}, "landing_tokens", "-1 is not between 0 and"),
    ({"landing_tokens": 5, "max_thinking_tokens": "unlimited"}, "landing_tokens", "needs a cap to land before"),
    ({"scope": "reply", "max_thinking_tokens": 5}, "scope", "'reply' is not one of"),
    ({"scope": 1, "max_thinking_tokens": 5}, "scope", "1 is not one of"),
    ({"max_thinking_token": 5}, "max_thinking_token", "did you mean max_thinking_tokens?"),
    ({"maxThinkingTokens": 5}, "maxThinkingTokens", "did you mean max_thinking_tokens?"),
    ({"thinkingBudget": 5}, "thinkingBudget", "did you mean max_thinking_tokens?"),
    ({"min_thinking_token": 5}, "min_thinking_token", "did you mean min_thinking_tokens?"),
    ({"num_wait": 5}, "num_wait", "did you mean num_waits?"),
    ({"vllm_xargs": {"max_thinking_tokens": -4}}, "max_thinking_tokens", "-4 is not between 0 and"),
    ({"vllm_xargs": {"max_thinking_token": 4}}, "max_thinking_token", "did you mean max_thinking_tokens?"),
    ({"max_thinking_tokens": 5, "thinking_token_budget": 6}, "thinking_token_budget", "differs"),
    ({"thinking_token_budget": -7}, "thinking_token_budget", "-7 is not between 0 and"),
    ({"thinking": {"type": "enabled", "budget_tokens": "5"}}, "thinking.budget_tokens", "'5' is not a whole number"),
    ({"thinking": {"type": "enabled", "budget_tokens": 5}, "thinking_budget": 6}, "thinking_budget", "differs from"),
    ({"thinking": {"type": "on"}}, "thinking", "is not understood"),
    ({"nvext": {"max_thinking_tokens": -5}}, "nvext.max_thinking_tokens", "-5 is not between 0 and"),
    ({"nvext": {"max_thinking_token": 5}}, "nvext.max_thinking_token", "did you mean max_thinking_tokens"),
    ({"chat_template_kwargs": {"thinking_budget": 1.5}}, "chat_template_kwargs.thinking_budget", "whole number"),
    ({"chat_template_kwargs": {"num_waits": 1}}, "chat_template_kwargs.num_waits", "did you mean num_waits"),
    ({"extra_body": {"max_thinking_tokens": 5}}, "extra_body", "put its content into the body itself"),
    ({"reasoning_effort": "lots"}, "reasoning_effort", "'lots' is not one of none, minimal"),
    ({"answer_reserve_tokens": -1}, "answer_reserve_tokens", "-1 is not between 0 and"),
    ({"answer_reserve_tokens": 50, "max_tokens": 50}, "answer_reserve_tokens", "max_tokens, which is 50"),
    (
        {"max_thinking_tokens": 20, "answer_reserve_tokens": 20, "max_tokens": 41},
        "max_thinking_tokens",
        "at least 20 of an answer",
    ),
    ({"thinking_budget": 100, "max_tokens": 50}, "thinking_budget", "max_tokens, which is 50"),
    ({"max_thinking_tokens": 100, "max_tokens": 50}, "max_thinking_tokens", "max_tokens, which is 50"),
    ({"min_thinking_tokens": 50, "max_tokens": 50}, "min_thinking_tokens", "max_tokens, which is 50"),
    ({"max_thinking_tokens": 100_000}, "max_thinking_tokens", "leave of the model's context of"),
    ({"max_thinking_tokens": 5, "use_beam_search": True, "n": 2}, "max_thinking_tokens", "beam search"),
]


def ask(**more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "Add up this bill: soup 9, fish 4"}], **more}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("fields", "param", "message"), WRONG, ids=[str(wrong[0])[:60] for wrong in WRONG])
def test_an_invalid_budget_is_a_400_that_names_field_value_and_bound(
    server: RunningServer, fields: dict[str, Any], param: str, message: str, stream: bool
) -> None:
    before = server.gauge("vllm:generation_tokens_total")
    response = server.chat(**ask(stream=stream, **fields))
    error = response.json()["error"]
    assert response.status_code == error["code"] == 400
    assert error["param"] == param
    assert message in error["message"]
    assert error["type"] == "BadRequestError"
    assert server.gauge("vllm:generation_tokens_total") == before


def test_waits_are_refused_if_the_prompt_has_closed_the_thinking(server: RunningServer) -> None:
    done = {"role": "assistant", "content": "<|im_start|>think\n9\n<|im_start|>answer\n"}
    request = ask(add_generation_prompt=False, continue_final_message=True)
    request["messages"].append(done)
    for field in ("num_waits", "min_thinking_tokens"):
        error = server.chat(**request, **{field: 3}).json()["error"]
        assert (error["code"], error["param"]) == (400, field)
        assert "closed" in error["message"]
    assert server.chat(**request, max_thinking_tokens=5).json()["choices"][0]["thinking"]["tokens"] == 0


def test_the_sdk_raises_its_own_errors(client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as wrong:
        client.chat.completions.create(**ask(), extra_body={"max_thinking_tokens": -1})
    assert wrong.value.param == "max_thinking_tokens"
    with pytest.raises(BadRequestError):
        client.chat.completions.create(**ask(), stream=True, extra_body={"max_thinking_tokens": -1})
    with pytest.raises(NotFoundError):
        client.chat.completions.create(**ask() | {"model": "unknown"})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nowhere", 404), ("GET", "/v1/chat/completions", 405), ("POST", "/livez", 405)],
)
def test_paths_and_methods_that_are_not_offered(server: RunningServer, method: str, path: str, status: int) -> None:
    response = httpx.request(method, server.url + path)
    error = response.json()["error"]
    assert response.status_code == error["code"] == status
    assert set(error) == {"message", "type", "param", "code"}
    assert ("allow" in response.headers) == (status == 405)


@pytest.mark.parametrize("path", ["/invocations", "/tokenizer_info", "/collective_rpc", "/inference/v1/generate"])
def test_other_endpoints_of_vllm_are_not_mounted(server: RunningServer, path: str) -> None:
    assert httpx.post(server.url + path, json={}).status_code == 404


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b'"text"', "application/json"),
        (b"{}", "application/json"),
        (b'{"messages": []}', "text/plain"),
        (b'{"messages": [], "max_thinking_tokens": ' + b"9" * 5000 + b"}", "application/json"),
        (b"\xff\xfe", "application/json"),
    ],
    ids=["cut", "list", "text", "empty", "type", "digits", "bytes"],
)
def test_a_body_that_is_not_a_request_is_a_400(server: RunningServer, body: bytes, content_type: str) -> None:
    response = httpx.post(f"{server.url}/v1/chat/completions", content=body, headers={"Content-Type": content_type})
    assert response.status_code == response.json()["error"]["code"] == 400


def test_the_server_still_answers(server: RunningServer) -> None:
    assert server.chat(**ask(max_thinking_tokens=3)).json()["choices"][0]["thinking"]["tokens"] == 3

"""LangChain's `ChatOpenAI` sets a budget, streams, and finds the thinking in its usage."""

from typing import Any

from langchain_openai import ChatOpenAI

from .conftest import MODEL, QUESTION


def chat(url: str, **more: Any) -> ChatOpenAI:
    return ChatOpenAI(base_url=f"{url}/v1", api_key="none", model=MODEL, temperature=0, max_retries=0, **more)


def reasoning_tokens(message: Any) -> int:
    found: int = message.usage_metadata["output_token_details"]["reasoning"]
    return found


def test_a_cap_is_kept_and_counted(url: str) -> None:
    message = chat(url, extra_body={"max_thinking_tokens": 12}).invoke(QUESTION)
    assert reasoning_tokens(message) == 12
    assert message.content.startswith("\nFinal Answer:")


def test_waits_make_the_thinking_longer(url: str) -> None:
    plain, waiting = chat(url).invoke(QUESTION), chat(url, extra_body={"num_waits": 2}).invoke(QUESTION)
    assert reasoning_tokens(waiting) > reasoning_tokens(plain) > 0
    assert "35" in waiting.content


def test_a_stream_equals_the_whole_reply(url: str) -> None:
    model = chat(url, extra_body={"max_thinking_tokens": 12}, stream_usage=True)
    whole, pieces = model.invoke(QUESTION), list(model.stream(QUESTION))
    assert "".join(str(piece.content) for piece in pieces) == whole.content
    assert sum(reasoning_tokens(piece) for piece in pieces if piece.usage_metadata) == 12


def test_its_effort_has_the_cap_of_the_table(url: str) -> None:
    assert reasoning_tokens(chat(url, reasoning_effort="none").invoke(QUESTION)) == 0
    assert reasoning_tokens(chat(url, reasoning_effort="low").invoke(QUESTION)) > 0

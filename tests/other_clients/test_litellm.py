"""LiteLLM, by the routes that its users take to a server like this one."""

from typing import Any

import litellm
import pytest

from .conftest import MODEL, QUESTION

litellm.suppress_debug_info = True


def complete(url: str, provider: str, **more: Any) -> Any:
    messages = [{"role": "user", "content": QUESTION}]
    return litellm.completion(
        model=f"{provider}/{MODEL}", api_base=f"{url}/v1", api_key="none", messages=messages, temperature=0, **more
    )


def reasoning_tokens(reply: Any) -> int:
    found: int = reply.usage.completion_tokens_details.reasoning_tokens
    return found


@pytest.mark.parametrize("provider", ["openai", "hosted_vllm"])
def test_a_cap_is_kept_and_counted_and_the_thinking_is_returned(url: str, provider: str) -> None:
    reply = complete(url, provider, extra_body={"max_thinking_tokens": 12})
    assert reasoning_tokens(reply) == 12
    message = reply.choices[0].message
    assert message.reasoning_content.startswith("\nFirst comes soup")
    assert message.content.startswith("\nFinal Answer:")


@pytest.mark.parametrize("provider", ["openai", "hosted_vllm"])
def test_a_stream_separates_the_thinking(url: str, provider: str) -> None:
    chunks = list(complete(url, provider, extra_body={"max_thinking_tokens": 12}, stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas).startswith("\nFirst comes soup")
    assert "".join(delta.content or "" for delta in deltas).startswith("\nFinal Answer:")


def test_litellm_turns_the_thinking_object_into_an_effort(url: str) -> None:
    """LiteLLM turns `budget_tokens` into an effort for this provider; the server's table has its cap."""
    reply = complete(url, "hosted_vllm", thinking={"type": "enabled", "budget_tokens": 1024})
    assert 0 < reasoning_tokens(reply) <= 1024


def test_an_invalid_budget_is_a_bad_request(url: str) -> None:
    with pytest.raises(litellm.BadRequestError, match="max_thinking_tokens: -1 is not between"):
        complete(url, "openai", extra_body={"max_thinking_tokens": -1})


def test_the_bridge_to_responses_takes_a_conversation_with_answers_of_the_assistant(url: str) -> None:
    """LiteLLM sends a chat to `/v1/responses`; it gives earlier answers as `output_text` parts without ids."""
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "35"},
        {"role": "user", "content": QUESTION},
    ]
    reply = litellm.completion(
        model=f"openai/responses/{MODEL}",
        api_base=f"{url}/v1",
        api_key="none",
        messages=messages,
        reasoning_effort="low",
        max_tokens=400,
    )
    assert 0 < reasoning_tokens(reply) <= 400
    assert "Answer:" in reply.choices[0].message.content


def test_responses_of_litellm_go_on_from_their_own_output(url: str) -> None:
    options = {"model": f"openai/{MODEL}", "api_base": f"{url}/v1", "api_key": "none", "temperature": 0}
    first = litellm.responses(input=QUESTION, extra_body={"max_thinking_tokens": 12}, **options)
    assert [item.type for item in first.output] == ["reasoning", "message"]
    history = [{"role": "user", "content": QUESTION}, *(item.model_dump() for item in first.output)]
    second = litellm.responses(input=[*history, {"role": "user", "content": QUESTION}], **options)
    assert second.status == "completed"

"""The report where the `openai` SDK's helper for streams keeps it; other helpers: in the modules of their endpoints."""

from typing import Any

import pytest
from openai import OpenAI

import tenuto.openai
from tenuto_testing.servers import MODEL


@pytest.mark.parametrize("budget", [{}, {"max_thinking_tokens": 12}, {"num_waits": 1}], ids=str)
def test_a_chat_stream_helper_keeps_the_report_in_the_message(
    client: OpenAI, questions: list[str], budget: dict[str, Any]
) -> None:
    """It drops unknown fields of a choice, and keeps those of a delta."""
    request: dict[str, Any] = {
        "model": MODEL,
        "messages": [{"role": "user", "content": questions[0]}],
        "temperature": 0,
    }
    whole = client.chat.completions.create(**request, extra_body=budget).choices[0]
    with client.chat.completions.stream(**request, extra_body=budget) as stream:
        last: Any = [event.chunk for event in stream if event.type == "chunk" and event.chunk.choices][-1]
        final = stream.get_final_completion().choices[0]
    assert not hasattr(final, "thinking")
    assert final.message.to_dict()["thinking_report"] == whole.to_dict()["thinking"]
    assert last.choices[0].to_dict()["thinking"] == whole.to_dict()["thinking"]
    assert final.message.content == whole.message.content
    reports = [tenuto.openai.report(choice) for choice in (whole, final, last.choices[0])]
    assert reports[0] is not None
    assert reports[0].tokens == whole.to_dict()["thinking"]["tokens"]
    assert reports == reports[:1] * 3
    assert tenuto.openai.reasoning(final.message) == tenuto.openai.reasoning(whole.message) != ""


def test_a_message_with_its_report_can_be_sent_back(client: OpenAI, questions: list[str]) -> None:
    user: Any = {"role": "user", "content": questions[0]}
    with client.chat.completions.stream(model=MODEL, messages=[user], max_tokens=200) as stream:
        message: Any = stream.get_final_completion().choices[0].message.model_dump()
    plain: Any = {"role": "assistant", "content": message["content"]}
    lengths = [
        client.chat.completions.create(model=MODEL, messages=[user, sent, user], max_tokens=5).usage
        for sent in (message, plain)
    ]
    assert lengths[0] is not None
    assert lengths[1] is not None
    assert lengths[0].prompt_tokens == lengths[1].prompt_tokens


@pytest.mark.parametrize(
    ("budget", "kinds"),
    [
        ({}, []),
        ({"num_waits": 2}, ["wait", "wait"]),
        ({"max_thinking_tokens": 30, "cap_text": "Enough."}, ["end", "answer"]),
        ({"max_thinking_tokens": 0}, ["answer"]),
        ({"num_waits": 1, "wait_text": "\nHold on, 🍲"}, ["wait"]),
    ],
    ids=str,
)
def test_a_stream_says_which_texts_were_forced_and_where(
    client: OpenAI, questions: list[str], budget: dict[str, Any], kinds: list[str]
) -> None:
    user: Any = {"role": "user", "content": questions[0]}
    texts = {"reasoning": "", "content": ""}
    listed: list[dict[str, Any]] = []
    last: list[dict[str, Any]] = []
    asked: Any = {
        "model": MODEL,
        "messages": [user],
        "temperature": 0,
        "extra_body": {**budget, "return_forced_text": True},
    }
    for chunk in client.chat.completions.create(**asked, stream=True):
        choice: Any = chunk.choices[0]
        for name in texts:
            texts[name] += getattr(choice.delta, name, None) or ""
        found = getattr(choice, "forced", [])
        if choice.finish_reason is None:
            listed += found
        else:
            last = found
    assert [span["kind"] for span in last] == kinds
    whole: Any = client.chat.completions.create(**asked).choices[0]
    assert whole.forced == last
    assert [span for span in listed if span not in last] == []
    for span in last:
        text = texts["content" if span["kind"] == "answer" else "reasoning"]
        assert text[span["start"] :].startswith(span["text"])
        assert span["text"].strip() == {"wait": budget.get("wait_text", "Wait").strip(), "end": "Enough."}.get(
            span["kind"], "Final Answer:"
        )

"""A small pretrained model that spells its markers in ordinary text: `</think>` is three tokens.

Two examples in the conversation teach it to think. Every figure is compared with a count on the decoded text, and what
follows the thinking with what the model writes there on its own.
"""

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from tenuto_testing.collected_reply import CollectedReply
from tenuto_testing.decoded_count import Count, DecodedCount
from tenuto_testing.servers import RunningServer, serving

pytestmark = pytest.mark.smollm2

NAME = "smollm2"
START, END = "<think>", "</think>"
OPTIONS = (
    *("--served-model-name", NAME, "--max-model-len", "2048", "--max-num-seqs", "8"),
    *("--dtype", "float32", "--enforce-eager"),  # compiling would take minutes
    *("--thinking-start-marker", START, "--thinking-end-marker", END),
)
EXAMPLES = (("Italy", "Europe", "Rome"), ("Japan", "Asia", "Tokyo"))
COUNTRIES = ("France", "Spain")
#: The model's own thinking has from 10 to 20 tokens.
BUDGETS: tuple[dict[str, Any], ...] = (
    {},
    *({"max_thinking_tokens": cap, "cap_text": ""} for cap in (1, 5, 8, 11)),
    {"max_thinking_tokens": 24, "cap_text": "\nEnough.\n"},
    {"max_thinking_tokens": 8, "cap_text": "\nEnough.\n"},
    {"max_thinking_tokens": 50},
    {"num_waits": 1},
    {"num_waits": 3, "wait_text": ["\nWait", " But"]},
    {"num_waits": 2, "max_thinking_tokens": 20, "cap_text": ""},
    {"num_waits": 1, "wait_text": ""},
    {"min_thinking_tokens": 40},
    {"min_thinking_tokens": 30, "max_thinking_tokens": 30, "cap_text": ""},
)


class Served:
    """The server, and its model's tokenizer."""

    def __init__(self, server: RunningServer, folder: Path) -> None:
        self.server = server
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    @cached_property
    def counter(self) -> DecodedCount:
        return DecodedCount(self.tokenizer, (START,), (END,))

    def count(self, ids: list[int], *, opened: bool = False) -> Count:
        """The naive count; the stop token at the end of a reply belongs to no region."""
        plain = [token for token in ids if token not in self.tokenizer.added_tokens_decoder]
        return self.counter.count(tuple(plain), thinks=opened)

    def text(self, ids: list[int]) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True)
        return text

    def ask(self, messages: list[dict[str, str]], *, stream: bool, **body: Any) -> tuple[CollectedReply, str]:
        """The reply, whole or as a stream, and its reasoning."""
        body = {"model": NAME, "messages": messages, "temperature": 0, "max_tokens": 70, **body}
        body |= {"return_token_ids": True, "stream": stream}
        if stream:
            body["stream_options"] = {"include_usage": True}
        reply, reasoning = CollectedReply(), ""
        response = self.server.chat(**body)
        assert response.status_code == 200, response.text
        for chunk in chunks_of(response.text) if stream else [response.json()]:
            reply.take(chunk)
            for choice in chunk["choices"]:
                reasoning += (choice.get("delta") or choice.get("message") or {}).get("reasoning") or ""
        return reply, reasoning


def chunks_of(text: str) -> Iterator[dict[str, Any]]:
    """The chunks of a stream of server-sent events."""
    for line in text.splitlines():
        if line.startswith("data: ") and line != "data: [DONE]":
            yield json.loads(line.removeprefix("data: "))


@pytest.fixture(scope="module")
def served(smollm2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    log = tmp_path_factory.mktemp("smollm2") / "log"
    with serving(log, str(smollm2_folder), *OPTIONS, environment=environment) as running:
        running.wait_until(running.ready)
        yield Served(running, smollm2_folder)


def conversation(country: str) -> list[dict[str, str]]:
    messages = []
    for known, continent, capital in EXAMPLES:
        thinking = f"{START}\n{known} is a country in {continent}. Its capital is {capital}.{END}\n\n{capital}."
        messages += [{"role": "user", "content": f"What is the capital of {known}?"}]
        messages += [{"role": "assistant", "content": thinking}]
    return [*messages, {"role": "user", "content": f"What is the capital of {country}?"}]


def test_the_model_spells_its_markers(served: Served) -> None:
    reply, reasoning = served.ask(conversation("France"), stream=False)
    end = served.tokenizer.encode(END, add_special_tokens=False)
    assert len(end) == 3
    assert str(end)[1:-1] in str(reply.ids[0])
    assert "Paris" in reasoning
    assert "Paris" in reply.texts[0]
    assert reply.thinking[0]["ended_by"] == "model"


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_reply_keeps_its_budget_and_its_figures_equal_a_count_of_its_text(
    served: Served, budget: dict[str, Any], stream: bool
) -> None:
    for country in COUNTRIES:
        reply, reasoning = served.ask(conversation(country), stream=stream, **budget)
        ids, thinking, answer = reply.ids[0], reply.thinking[0], reply.texts[0]
        count, text = served.count(ids), served.text(ids)
        assert not count.thinks, text
        assert thinking["tokens"] == count.tokens, text
        assert reply.usage["completion_tokens_details"]["reasoning_tokens"] == count.tokens
        cap = budget.get("max_thinking_tokens")
        assert cap is None or count.tokens <= cap, text
        assert thinking["waits"] >= budget.get("num_waits", 0) or thinking["ended_by"] == "cap", text
        assert count.tokens >= budget.get("min_thinking_tokens", 0), text
        thought, _, after = text.partition(END)
        assert thought.replace(START, "").strip() == reasoning.strip()
        assert after.strip() == answer.strip()
        assert not {START, END} & {*answer.split()}
        assert answer.strip() == own_answer(served, country, ids).strip(), text


def own_answer(served: Served, country: str, ids: list[int]) -> str:
    """What the model writes without a budget after the same thinking, in as many tokens."""
    size = next(size for size in range(1, len(ids) + 1) if END in served.text(ids[:size]))
    straddling = served.text(ids[:size]).partition(END)[2]
    if size == len(ids):
        return straddling
    prompt = served.tokenizer.apply_chat_template(
        conversation(country), add_generation_prompt=True, tokenize=True, return_dict=False
    )
    body = {"model": NAME, "prompt": [*prompt, *ids[:size]], "temperature": 0, "max_tokens": len(ids) - size}
    response = served.server.post("/v1/completions", **body)
    assert response.status_code == 200, response.text
    text: str = response.json()["choices"][0]["text"]
    return straddling + text


def test_a_cap_of_zero_keeps_the_start_marker_from_being_completed(served: Served) -> None:
    reply, reasoning = served.ask(conversation("France"), stream=False, max_thinking_tokens=0)
    text = served.text(reply.ids[0])
    assert START not in text
    assert (reasoning, reply.texts[0].strip()) == ("", text.strip())
    assert (reply.thinking[0]["tokens"], reply.thinking[0]["ended_by"]) == (0, "none")


def test_thinking_that_the_prompt_opened_is_counted_from_there(served: Served) -> None:
    messages = [*conversation("France"), {"role": "assistant", "content": f"{START}\nFrance"}]
    for cap in (2, 6, 40):
        reply, _ = served.ask(
            messages,
            stream=False,
            max_thinking_tokens=cap,
            cap_text="",
            add_generation_prompt=False,
            continue_final_message=True,
        )
        count = served.count(reply.ids[0], opened=True)
        assert reply.thinking[0]["tokens"] == count.tokens <= cap
        assert reply.thinking[0]["ended_by"] == ("model" if cap == 40 else "cap")


def test_markers_in_a_text_of_the_user_do_not_count(served: Served) -> None:
    """Nor do those of the reply to it, until the model opens thinking itself."""
    messages = [{"role": "user", "content": f"What do {START} and {END} mean?"}]
    for budget in ({}, {"min_thinking_tokens": 10, "max_thinking_tokens": 20, "cap_text": ""}):
        reply, _ = served.ask(messages, stream=False, **budget)
        text = served.text(reply.ids[0])
        assert reply.thinking[0]["tokens"] == served.count(reply.ids[0]).tokens, text
        assert text.startswith(START) or not budget

"""OpenAI's Responses with OpenAI's SDK, recounted from the tokens that the server returns on request."""

from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError, OpenAI
from openai.types.responses import Response

from tenuto_testing.reply_counter import ReplyCounter
from tenuto_testing.servers import MODEL, RunningServer

BUDGETS: list[dict[str, Any]] = [
    {},
    {"max_thinking_tokens": 0},
    {"max_thinking_tokens": 12},
    {"num_waits": 3, "max_thinking_tokens": 40},
    {"min_thinking_tokens": 60},
    {"thinking_token_budget": 12},
]

#: Under which a reply can be cut while it thinks.
UNLIMITED = {"max_thinking_tokens": "unlimited"}


def ask(question: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "input": question, "temperature": 0, **more}


def parts(response: Response) -> tuple[str, str]:
    """The reasoning and the text."""
    reasoning = [item for item in response.output if item.type == "reasoning"]
    return "".join(part.text for item in reasoning for part in item.content or ()), response.output_text


def reasoning_tokens(response: Response) -> int:
    assert response.usage is not None
    return response.usage.output_tokens_details.reasoning_tokens


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_a_response_keeps_its_budget_and_its_figures_equal_a_recount(
    client: OpenAI, counter: ReplyCounter, questions: list[str], budget: dict[str, Any]
) -> None:
    cap = budget.get("max_thinking_tokens", budget.get("thinking_token_budget"))
    response = client.responses.create(**ask(questions[0]), extra_body={**budget, "enable_response_messages": True})
    [thinking], [said] = response.thinking, response.output_messages
    assert thinking["tokens"] == counter.count(said["tokens"], cap) == reasoning_tokens(response)
    if cap is None:
        assert thinking["set_by"]["max_thinking_tokens"] == "default"
    else:
        assert thinking["max_thinking_tokens"] == cap
    assert thinking["tokens"] <= (1000 if cap is None else cap)
    if thinking["ended_by"] == "model":
        assert thinking["tokens"] >= budget.get("min_thinking_tokens", 0)
        assert thinking["waits"] >= budget.get("num_waits", 0)
    assert response.usage is not None
    assert response.usage.output_tokens == len(said["tokens"])
    reasoning, text = parts(response)
    assert reasoning == counter.tokenizer.decode(counter.thinking(said["tokens"]))
    answer = said["tokens"][counter.find(said["tokens"], counter.end) + len(counter.end) :]
    assert text == counter.tokenizer.decode(answer, skip_special_tokens=True)


def test_an_effort_has_the_cap_of_the_servers_table(client: OpenAI, questions: list[str]) -> None:
    quick = client.responses.create(**ask(questions[0]), reasoning={"effort": "none"})
    assert quick.thinking[0]["max_thinking_tokens"] == 0
    assert parts(quick)[0] == ""
    long = client.responses.create(**ask(questions[0]), reasoning={"effort": "low"})
    assert long.thinking[0]["max_thinking_tokens"] == 1024
    assert long.thinking[0]["set_by"] == {"max_thinking_tokens": "reasoning_effort"}


@pytest.mark.parametrize("budget", [BUDGETS[0], BUDGETS[1], BUDGETS[2], {"num_waits": 2}], ids=str)
def test_a_stream_equals_the_whole_response(client: OpenAI, questions: list[str], budget: dict[str, Any]) -> None:
    request = {**ask(questions[1]), "extra_body": {**budget, "enable_response_messages": True}}
    whole = client.responses.create(**request)
    events = list(client.responses.create(**request, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last = events[-1]
    assert last.type == "response.completed"
    assert parts(last.response) == parts(whole)
    assert last.response.thinking == whole.thinking
    assert last.response.usage == whole.usage
    assert last.response.output_messages == whole.output_messages
    deltas = {
        kind: "".join(event.delta for event in events if event.type == f"response.{kind}.delta")
        for kind in ("reasoning_text", "output_text")
    }
    assert (deltas["reasoning_text"], deltas["output_text"]) == parts(whole)


def test_a_response_cut_while_thinking_is_reported(client: OpenAI, questions: list[str]) -> None:
    for stream in (False, True):
        body = ask(questions[0], max_output_tokens=20, extra_body={"max_thinking_tokens": "unlimited"})
        result: Any = client.responses.create(**body, stream=stream)
        response = list(result)[-1].response if stream else result
        assert response.status == "incomplete"
        assert response.thinking[0]["ended_by"] == "length"
        assert reasoning_tokens(response) == response.thinking[0]["tokens"] > 0


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"max_thinking_tokens": -1}, "max_thinking_tokens", "-1 is not between 0 and"),
        ({"max_thinking_tokens": 50, "max_output_tokens": 50}, "max_thinking_tokens", "max_tokens, which is 50"),
        ({"reasoning": {"effort": "low"}, "reasoning_effort": "high"}, "reasoning.effort", "differs"),
        ({"background": True}, "background", "stores no responses"),
    ],
    ids=str,
)
def test_an_invalid_request_is_a_400_before_the_stream_begins(
    server: RunningServer,
    client: OpenAI,
    questions: list[str],
    fields: dict[str, Any],
    param: str,
    message: str,
    stream: bool,
) -> None:
    before = server.gauge("vllm:generation_tokens_total")
    with pytest.raises(BadRequestError) as wrong:
        client.responses.create(**ask(questions[0]), stream=stream, extra_body=fields)
    assert wrong.value.param == param
    assert message in wrong.value.message
    assert server.gauge("vllm:generation_tokens_total") == before


def test_responses_are_not_kept(client: OpenAI, questions: list[str]) -> None:
    kept = client.responses.create(**ask(questions[0], max_output_tokens=20), store=True)
    with pytest.raises(BadRequestError, match="stores nothing"):
        client.responses.create(**ask(questions[0]), previous_response_id=kept.id)
    with pytest.raises(NotFoundError):
        client.responses.retrieve(kept.id)


def test_a_response_that_was_cut_goes_on_from_its_output(client: OpenAI, questions: list[str]) -> None:
    """With the SDK's own objects, cut while thinking and in the answer, until it is complete."""
    expected = client.responses.create(**ask(questions[0], extra_body=UNLIMITED))
    conversation: list[Any] = [{"role": "user", "content": questions[0]}]
    said, thinking = ("", ""), 0
    for _ in range(20):
        request = ask(questions[0], max_output_tokens=7, extra_body=UNLIMITED) | {"input": conversation}
        response = client.responses.create(**request)
        said = (said[0] + parts(response)[0], said[1] + parts(response)[1])
        thinking += reasoning_tokens(response)
        if response.status == "completed":
            break
        conversation += response.output
    assert said == parts(expected)
    assert thinking == reasoning_tokens(expected)


@pytest.mark.parametrize("limit", [None, 20], ids=["complete", "cut"])
def test_the_sdks_stream_helper_keeps_the_report_and_the_usage(
    client: OpenAI, questions: list[str], limit: int | None
) -> None:
    fields = ask(questions[0], extra_body=UNLIMITED) | ({} if limit is None else {"max_output_tokens": limit})
    whole = client.responses.create(**fields)
    with client.responses.stream(**fields) as stream:
        events = list(stream)
    last: Any = events[-1]
    assert last.type == ("response.completed" if limit is None else "response.incomplete")
    assert [item.status for item in last.response.output] == [item.status for item in whole.output]
    assert last.response.thinking == whole.thinking
    assert last.response.usage == whole.usage
    texts = [event.snapshot for event in events if event.type == "response.output_text.delta"]
    assert texts[-1:] == ([whole.output_text] if limit is None else [])
    if limit is None:
        assert stream.get_final_response().output_text == whole.output_text


async def test_the_sdks_asynchronous_helper_takes_a_cut_response(
    async_client: AsyncOpenAI, questions: list[str]
) -> None:
    async with async_client.responses.stream(**ask(questions[0], max_output_tokens=20, extra_body=UNLIMITED)) as stream:
        kinds = [event.type async for event in stream]
    assert kinds[-1] == "response.incomplete"

"""Requests that are read wrongly or refused wrongly: histories, nulls, wrong types, endless lists."""

from typing import Any

from tenuto_testing.reported_case import Case

CHAT, COMPLETIONS, RESPONSES, MESSAGES = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
)
BILL = {"role": "user", "content": "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"}
SHORT: dict[str, Any] = {"temperature": 0, "max_thinking_tokens": 4}
OUTPUT_TEXT = {"role": "assistant", "content": [{"type": "output_text", "text": "Final Answer: 35"}]}
GO_ON = {"role": "user", "content": "and once more"}


def _responses(name: str, items: list[Any] | str, **fields: Any) -> Case:
    body = {"input": items, "max_output_tokens": 24, **SHORT, **fields}
    return Case(name=f"responses: {name}", path=RESPONSES, body=body)


def _refused(name: str, path: str, param: str, message: str, **body: Any) -> Case:
    prompt = {"prompt": "x"} if path == COMPLETIONS else {"messages": [BILL]}
    whole = body if path == RESPONSES else {**prompt, "max_tokens": 9, **body}
    return Case(name=f"{path}: {name}", path=path, body=whole, status=400, param=param, message=message)


_HUGE = [
    _refused("1,200 empty items", RESPONSES, "input.0", "has no type and no role", input=[{}] * 1200),
    _refused("20,000 empty messages", CHAT, "messages.0", "has no role", messages=[{}] * 20_000),
    _refused("20,000 empty messages", MESSAGES, "messages.0.role", "is required", messages=[{}] * 20_000),
    _refused("50,000 empty stops", CHAT, "stop.0", "should be a valid string", stop=[{}] * 50_000),
    _refused("50,000 tokens, the last one wrong", COMPLETIONS, "prompt.50000", "should be", prompt=[*[1] * 50_000, {}]),
    _refused(
        "50,000 wrong biases",
        CHAT,
        "logit_bias.0",
        "should be a valid number",
        logit_bias={str(number): {} for number in range(50_000)},
    ),
    _refused("1,200 turns in the easy form", RESPONSES, "input", "context length", input=[OUTPUT_TEXT, BILL] * 600),
]

_WRONG = [
    _refused("messages of a wrong type", CHAT, "messages", "should be a valid list; it is 7", messages=7),
    _refused("messages of a wrong type", MESSAGES, "messages", "should be a valid list; it is 7", messages=7),
    _refused("input of a wrong type", RESPONSES, "input", "should be a string or a list; it is 7", input=7),
    _refused("a prompt of a wrong type", COMPLETIONS, "prompt", "it is {}", prompt={}),
    *(
        _refused(
            f"a tool without a function: {tool}",
            CHAT,
            "tools.0.function",
            "is required",
            tools=[tool],
            tool_choice={"type": "function", "function": {"name": "x"}},
        )
        for tool in (
            {},
            {"type": "function", "name": "x", "parameters": {}},
        )
    ),
    _refused(
        "a tool of MCP",
        CHAT,
        "tools.0.type",
        "should be 'function'; it is 'mcp'",
        tools=[{"type": "mcp", "server_label": "x", "server_url": "https://x"}],
        tool_choice={"type": "function", "function": {"name": "x"}},
    ),
]

_NULLS = [
    *(
        _responses(f"{field} is null", "hi", **{field: None})
        for field in ("background", "truncation", "tools", "tool_choice", "store", "metadata", "include", "text")
    ),
    _responses("nested nulls", "hi", reasoning={"effort": None, "summary": None}, text={"format": None}),
    *(
        Case(name=f"{path}: everything unset is null", path=path, body={**body, **SHORT, **dict.fromkeys(fields)})
        for path, body, fields in (
            (
                CHAT,
                {"messages": [BILL], "max_tokens": 24},
                (
                    "n",
                    "stop",
                    "stream_options",
                    "tools",
                    "tool_choice",
                    "response_format",
                    "top_logprobs",
                    "min_tokens",
                ),
            ),
            (
                COMPLETIONS,
                {"prompt": "x", "max_tokens": 24},
                ("n", "stop", "echo", "logprobs", "suffix", "seed", "best_of", "logit_bias", "min_tokens", "user"),
            ),
            (
                MESSAGES,
                {"messages": [BILL], "max_tokens": 24},
                ("system", "tools", "tool_choice", "stop_sequences", "top_k", "top_p", "metadata", "thinking"),
            ),
        )
    ),
    Case(
        name="chat: no choice of a tool together with structured output",
        path=CHAT,
        body={
            "messages": [BILL],
            **SHORT,
            "max_tokens": 32,
            "tool_choice": None,
            "structured_outputs": {"choice": ["a", "b"], "json": None, "regex": None},
        },
    ),
]

_HISTORY = [
    _responses("an assistant's message in the easy form", [BILL, OUTPUT_TEXT, GO_ON]),
    _responses("an empty turn", [{"type": "message", "role": "assistant", "content": []}, GO_ON]),
    _responses(
        "items as an SDK dumps them",
        [
            BILL,
            {"type": "reasoning", "id": None, "summary": [], "content": None, "encrypted_content": None},
            {**OUTPUT_TEXT, "id": None, "type": "message", "status": None, "phase": None},
            GO_ON,
        ],
    ),
    Case(
        name="chat: a message as the SDK dumps it, cut while thinking",
        path=CHAT,
        body={
            **SHORT,
            "max_tokens": 24,
            "messages": [
                BILL,
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": None,
                    "refusal": None,
                    "annotations": None,
                    "audio": None,
                    "function_call": None,
                    "reasoning": "soup 9",
                    "reasoning_content": "soup 9",
                },
                GO_ON,
            ],
        },
    ),
    Case(
        name="messages: blocks as the SDK dumps them",
        path=MESSAGES,
        body={
            **SHORT,
            "max_tokens": 24,
            "messages": [
                BILL,
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "soup 9", "signature": None},
                        {"type": "text", "text": "35", "citations": None},
                    ],
                },
                GO_ON,
            ],
        },
    ),
]

#: What vLLM's check of the parameters refuses: (the field that the error names, the fields of the body).
_PARAMETERS: list[tuple[str, dict[str, Any]]] = [
    ("top_p", {"top_p": 7}),
    ("temperature", {"temperature": -1}),
    ("top_k", {"top_k": -7}),
    ("min_p", {"min_p": 2}),
    ("logit_bias", {"logit_bias": {"99999999": 1}}),
    ("stop_token_ids", {"stop_token_ids": [99999999]}),
    ("allowed_token_ids", {"allowed_token_ids": [99999999]}),
    ("allowed_token_ids", {"allowed_token_ids": []}),
    ("min_tokens", {"min_tokens": 50}),
    ("structured_outputs", {"structured_outputs": {"regex": "["}}),
    ("structured_outputs", {"structured_outputs": {"grammar": "root ::= x"}}),
    ("structured_outputs", {"structured_outputs": {"json": {"type": "nonsense"}}}),
    ("repetition_penalty", {"repetition_penalty": -1}),
    ("presence_penalty", {"presence_penalty": 9}),
    ("bad_words", {"bad_words": [""]}),
]
#: Where fields of vLLM's own do not exist, or have other names.
_NOT_OF = {
    RESPONSES: {"allowed_token_ids", "min_tokens", "bad_words"},
    MESSAGES: {"min_p", "logit_bias", "stop_token_ids", "allowed_token_ids", "min_tokens", "structured_outputs"}
    | {"repetition_penalty", "presence_penalty", "bad_words"},
}
_REFUSED_PARAMETERS = [
    Case(
        name=f"{path}: {fields} is refused before a stream begins",
        path=path,
        body={"max_output_tokens": 9, "input": "hi", **fields}
        if path == RESPONSES
        else {**prompt, "max_tokens": 9, **fields},
        status=400,
        param=param,
    )
    for path, prompt in (
        (CHAT, {"messages": [BILL], "max_tokens": 9}),
        (COMPLETIONS, {"prompt": "x", "max_tokens": 9}),
        (RESPONSES, {"input": "hi", "max_output_tokens": 9}),
        (MESSAGES, {"messages": [BILL], "max_tokens": 9}),
    )
    for param, fields in _PARAMETERS
    if param not in _NOT_OF.get(path, ())
]

#: Blocks that lack something: (the role, the block, what is wrong with it).
_BLOCKS: list[tuple[str, dict[str, Any], str]] = [
    ("user", {"type": "text"}, "a text block needs text"),
    ("user", {"type": "image"}, "an image block needs source"),
    ("user", {"type": "image", "source": {}}, "needs a type"),
    ("user", {"type": "image", "source": {"type": "base64", "media_type": "image/png"}}, "needs data"),
    ("user", {"type": "tool_result", "content": "5"}, "a tool_result block needs tool_use_id"),
    ("user", {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text"}]}, "a text block needs text"),
    ("user", {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "x"}]}, "'x' is not one of"),
    ("assistant", {"type": "tool_use", "name": "f", "input": {}}, "a tool_use block needs id"),
    ("assistant", {"type": "tool_use", "id": "t", "input": {}}, "a tool_use block needs name"),
    ("assistant", {"type": "tool_use", "id": "t", "name": "f"}, "a tool_use block needs input"),
    ("assistant", {"type": "thinking"}, "a thinking block needs thinking"),
    ("assistant", {"type": "redacted_thinking"}, "a redacted_thinking block needs data"),
]
_MALFORMED = [
    Case(
        name=f"{path}: {block} is refused",
        path=path,
        body={"messages": [BILL, {"role": role, "content": [block]}, BILL], **more},
        status=400,
        param="messages.1.content.0",
        message=reason,
        streams=path == MESSAGES,
    )
    for path, more in ((MESSAGES, {"max_tokens": 9}), (f"{MESSAGES}/count_tokens", {}))
    for role, block, reason in _BLOCKS
]

_SECOND_PROMPT = Case(
    name="the second of two prompts is empty",
    path="/v1/completions",
    body={"prompt": ["a", ""], "max_tokens": 2},
    status=400,
    param="prompt",
    message="cannot be empty",
)

CASES: list[Case] = [*_HUGE, *_WRONG, *_NULLS, *_HISTORY, *_REFUSED_PARAMETERS, *_MALFORMED, _SECOND_PROMPT]

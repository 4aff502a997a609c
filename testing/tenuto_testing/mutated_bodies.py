"""Valid bodies of every endpoint, and bodies in which one value was replaced, removed or repeated."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
_BUDGET = {
    "max_thinking_tokens": 2,
    "min_thinking_tokens": 0,
    "num_waits": 0,
    "wait_text": ["Wait"],
    "cap_text": "",
    "landing_tokens": 0,
    "loop_tokens": 0,
    "scope": "response",
    "answer_reserve_tokens": 1,
    "reasoning_effort": "low",
}
_SAMPLING = {
    "temperature": 0.7,
    "top_p": 0.9,
    "top_k": 5,
    "min_p": 0.1,
    "seed": 3,
    "frequency_penalty": 0.1,
    "presence_penalty": 0.1,
    "repetition_penalty": 1.1,
    "stop": ["zz"],
    "stop_token_ids": [5],
    "logit_bias": {"7": 1.0},
    "bad_words": ["qq"],
    "min_tokens": 0,
    "n": 1,
    "skip_special_tokens": True,
    "priority": 0,
    "cache_salt": "x",
    "vllm_xargs": {"num_waits": 0},
}
_CHAT_HISTORY = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "name": "kim", "content": [{"type": "text", "text": "Add up soup 9"}]},
    {"role": "assistant", "content": None, "reasoning": "soup", "tool_calls": [_CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "9"},
    {"role": "user", "content": "go on"},
]
_RESPONSES_HISTORY = [
    {"role": "developer", "content": "Be brief."},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Add up soup 9"}]},
    {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "soup"}]},
    {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "call_1", "output": "9"},
    {"role": "assistant", "content": [{"type": "output_text", "text": "9"}]},
    {"role": "user", "content": "go on"},
]
_MESSAGES_HISTORY = [
    {"role": "user", "content": [{"type": "text", "text": "Add up", "cache_control": {"type": "ephemeral"}}]},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "soup", "signature": "x"},
            {"type": "text", "text": "9"},
            {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "9"}], "is_error": False},
            {"type": "text", "text": "go on"},
        ],
    },
]
_CHAT_TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "d", "parameters": _SCHEMA, "strict": False}}
]
_MESSAGES_TOOLS = [{"name": "weather", "description": "d", "input_schema": _SCHEMA}]

#: Valid bodies by path, without the model. Replies are a few tokens long.
VALID: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "/v1/chat/completions": (
        {"messages": _CHAT_HISTORY, "tools": _CHAT_TOOLS, "tool_choice": "none", "max_tokens": 16, "user": "u"},
        {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 16, **_BUDGET, **_SAMPLING},
        {
            "messages": [{"role": "user", "content": "hi"}],
            "max_completion_tokens": 16,
            "stream_options": {"include_usage": True},
            "stream": True,
            "logprobs": True,
            "top_logprobs": 2,
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": _SCHEMA}},
            "chat_template_kwargs": {"enable_thinking": True},
            "add_generation_prompt": True,
        },
        {
            "messages": [{"role": "user", "content": "hi"}],
            "max_tokens": 16,
            "structured_outputs": {"regex": "[0-9]+"},
            "thinking": {"type": "enabled", "budget_tokens": 2},
            "reasoning": {"effort": "low"},
            "metadata": {"a": "b"},
        },
    ),
    "/v1/chat/completions/batch": (
        {"messages": [[{"role": "user", "content": "hi"}], _CHAT_HISTORY], "max_tokens": 16, "max_thinking_tokens": 2},
    ),
    "/v1/completions": (
        {"prompt": "Add up", "max_tokens": 16, "echo": True, "logprobs": 2, "suffix": None, **_BUDGET, **_SAMPLING},
        {"prompt": [[5, 6], [7]], "max_tokens": 4, "stream": True, "stream_options": {"include_usage": True}},
        {"prompt": ["a", "b"], "max_tokens": 4, "prompt_logprobs": 1, "response_format": {"type": "json_object"}},
    ),
    "/v1/responses": (
        {"input": "hi", "instructions": "Be brief.", "max_output_tokens": 16, "store": False, "truncation": "disabled"},
        {
            "input": _RESPONSES_HISTORY,
            "max_output_tokens": 16,
            "tools": [{"type": "function", "name": "weather", "parameters": _SCHEMA, "strict": False}],
            "tool_choice": "none",
            "parallel_tool_calls": True,
            "include": ["reasoning.encrypted_content"],
            "reasoning": {"effort": "low", "summary": "auto"},
            "metadata": {"a": "b"},
            "stream": True,
        },
        {
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
            "max_output_tokens": 16,
            "text": {"format": {"type": "json_schema", "name": "n", "schema": _SCHEMA}, "verbosity": "low"},
            "include": ["message.output_text.logprobs"],
            "top_logprobs": 1,
            "temperature": 0.5,
            "top_p": 0.9,
            "max_thinking_tokens": 2,
        },
    ),
    "/v1/messages": (
        {
            "messages": _MESSAGES_HISTORY,
            "system": [{"type": "text", "text": "Be brief."}],
            "max_tokens": 16,
            "tools": _MESSAGES_TOOLS,
            "tool_choice": {"type": "none"},
            "metadata": {"user_id": "u"},
        },
        {
            "messages": [{"role": "user", "content": "hi"}],
            "system": "Be brief.",
            "max_tokens": 16,
            "thinking": {"type": "enabled", "budget_tokens": 2},
            "output_config": {"effort": "low"},
            "stop_sequences": ["zz"],
            "temperature": 0.5,
            "top_k": 5,
            "top_p": 0.9,
            "stream": True,
        },
    ),
    "/v1/messages/count_tokens": (
        {
            "messages": _MESSAGES_HISTORY,
            "system": "Be brief.",
            "tools": _MESSAGES_TOOLS,
            "tool_choice": {"type": "none"},
        },
    ),
    "/tokenize": (
        {"prompt": "hi", "add_special_tokens": True, "return_token_strs": True},
        {"messages": _CHAT_HISTORY, "tools": _CHAT_TOOLS, "add_generation_prompt": True},
    ),
    "/detokenize": ({"tokens": [5, 6, 7]},),
    "/v1/requests/unknown/thinking": ({"action": "think_until", "min_thinking_tokens": 5},),
}

#: What takes the place of a value. `Infinity` is sent as Python writes it.
_OTHERS: tuple[Any, ...] = (
    *(None, True, 0, -1, 7, 1.5, 10**30, float("inf"), "", "x", "7", "\x00\ud83d", "x" * 20_000),
    *([], [None], [{}], [[]], ["x"], [7], [{"type": "nope"}], [{"role": "nope"}]),
    *({}, {"a": {}}, {"type": "nope"}, {"role": "user"}, {"type": None, "role": None, "content": None}),
    *([{}] * 1200, [None] * 20_000, ["x"] * 1200, {str(number): {} for number in range(250)}),
)
_REMOVED = object()

Path = tuple[str | int, ...]


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every value within a body, the body itself excepted."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield (*path, key)
        yield from places(part, (*path, key))


@st.composite
def mutated_bodies(draw: st.DrawFn, path: str) -> tuple[dict[str, Any], Path]:
    """A body for this endpoint with one value changed, and where."""
    body: dict[str, Any] = deepcopy(dict(draw(st.sampled_from(VALID[path]))))
    place = draw(st.sampled_from(list(places(body))))
    parent: Any = body
    for key in place[:-1]:
        parent = parent[key]
    key = place[-1]
    changes = [*_OTHERS, _REMOVED]
    if isinstance(parent[key], list):
        changes += [parent[key] * 400, [*parent[key], {}], parent[key][:1]]
    if isinstance(parent[key], dict):
        changes += [{**parent[key], "unknown": 1}, [parent[key]]]
    change = draw(st.sampled_from(changes))
    if change is _REMOVED:
        del parent[key]
    else:
        parent[key] = deepcopy(change)
    return body, place

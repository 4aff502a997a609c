"""What real clients send, in their second turn too: the same fields and the same kinds of items, with short texts.

Recorded from Codex 0.171, opencode 1.18 (AI SDK) and Claude Code 2.1 running a tool, and from lm-eval 0.4.
"""

from collections.abc import Mapping
from typing import Any

from tenuto_testing.reported_case import Case

_SCHEMA = {
    "type": "object",
    "properties": {"cmd": {"type": "string"}},
    "required": ["cmd"],
    "additionalProperties": False,
}
_SAMPLING = {"temperature": 0}

CODEX: Mapping[str, Any] = {
    "tools": [
        {"type": "function", "name": "exec_command", "description": "Runs it.", "strict": False, "parameters": _SCHEMA},
        {
            "type": "namespace",
            "name": "agents",
            "description": "Tools for agents.",
            "tools": [
                {"type": "function", "name": "wait", "description": "Waits.", "strict": False, "parameters": _SCHEMA}
            ],
        },
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"summary": "auto"},
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "01a223a2",
    "client_metadata": {"session_id": "01a223a2", "turn": "{}"},
    "max_output_tokens": 40,
    **_SAMPLING,
}
_CODEX_TURN = [
    {
        "type": "message",
        "id": "msg_1",
        "role": "developer",
        "content": [{"type": "input_text", "text": "You are an agent."}, {"type": "input_text", "text": "Be brief."}],
    },
    {"type": "message", "id": "msg_2", "role": "user", "content": [{"type": "input_text", "text": "say hi"}]},
]
_CODEX_TOOL = [
    {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "a command"}],
        "encrypted_content": None,
    },
    {
        "type": "function_call",
        "status": "completed",
        "id": "fc_1",
        "name": "exec_command",
        "arguments": '{"cmd": "echo hi"}',
        "call_id": "call_1",
    },
    {"type": "function_call_output", "id": "fco_1", "call_id": "call_1", "output": "hi\n"},
]

OPENCODE_RESPONSES: Mapping[str, Any] = {
    "max_output_tokens": 40,
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "ses_1",
    "reasoning": {"effort": "low", "summary": "auto"},
    "tools": [
        {"type": "function", "name": "bash", "description": "Runs it.", "parameters": _SCHEMA, "strict": False},
    ],
    "tool_choice": "auto",
    **_SAMPLING,
}
OPENCODE_CHAT: Mapping[str, Any] = {
    "max_tokens": 40,
    "tools": [
        {"type": "function", "function": {"name": "bash", "description": "Runs it.", "parameters": _SCHEMA}},
    ],
    "tool_choice": "auto",
    **_SAMPLING,
}
_CHAT_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "bash", "arguments": '{"cmd":"echo hi"}'},
}

CLAUDE_CODE: Mapping[str, Any] = {
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197; cc_entrypoint=sdk-cli;"},
        {"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}},
    ],
    "tools": [{"name": "Bash", "description": "Runs it.", "input_schema": _SCHEMA}],
    "metadata": {"user_id": '{"session_id":"93fdce3b"}'},
    "max_tokens": 40,
    "thinking": {"type": "adaptive"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "high"},
    **_SAMPLING,
}
_CLAUDE_TURN = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "<system-reminder>As you answer</system-reminder>"},
            {"type": "text", "text": "say hi", "cache_control": {"type": "ephemeral"}},
        ],
    },
    {"role": "system", "content": "Available agents: none"},
]
_CLAUDE_TOOL = [
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "a command", "signature": "abc"},
            {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"cmd": "echo hi"}},
        ],
    },
    {
        "role": "user",
        "content": [
            {
                "tool_use_id": "toolu_1",
                "type": "tool_result",
                "content": "hi",
                "is_error": False,
                "cache_control": {"type": "ephemeral"},
            }
        ],
    },
]


def _has_content(reply: Any) -> None:
    assert reply["choices"][0]["message"]["content"], reply


CASES: list[Case] = [
    Case(
        name="Codex begins a session",
        path="/v1/responses",
        body={"input": _CODEX_TURN, **CODEX},
        server="thinker",
    ),
    Case(
        name="Codex returns the output of a tool",
        path="/v1/responses",
        body={"input": [*_CODEX_TURN, *_CODEX_TOOL], **CODEX},
        server="thinker",
    ),
    Case(
        name="Codex asks again after an answer",
        path="/v1/responses",
        body={
            "input": [
                *_CODEX_TURN,
                *_CODEX_TOOL,
                {
                    "type": "message",
                    "id": "msg_3",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "hi"}],
                },
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go on"}]},
            ],
            **CODEX,
        },
        server="thinker",
    ),
    Case(
        name="opencode names a session with Responses",
        path="/v1/responses",
        body={
            "input": [
                {"role": "developer", "content": "You write titles."},
                {"role": "user", "content": [{"type": "input_text", "text": "say hi"}]},
            ],
            "max_output_tokens": 40,
            "store": False,
            "include": ["reasoning.encrypted_content"],
            "reasoning": {"effort": "low", "summary": "auto"},
            **_SAMPLING,
        },
    ),
    Case(
        name="opencode returns the output of a tool with Responses",
        path="/v1/responses",
        body={
            "input": [
                {"role": "developer", "content": "You are an agent."},
                {"role": "user", "content": [{"type": "input_text", "text": "say hi"}]},
                {"type": "function_call", "call_id": "call_1", "name": "bash", "arguments": '{"cmd":"echo hi"}'},
                {"type": "function_call_output", "call_id": "call_1", "output": "hi\n"},
                {"role": "assistant", "content": [{"type": "output_text", "text": "hi"}]},
                {"role": "user", "content": [{"type": "input_text", "text": "go on"}]},
            ],
            **OPENCODE_RESPONSES,
        },
        server="thinker",
    ),
    Case(
        name="opencode returns the output of a tool with chat",
        path="/v1/chat/completions",
        body={
            "messages": [
                {"role": "system", "content": "You are an agent."},
                {"role": "user", "content": "say hi"},
                {"role": "assistant", "content": "", "reasoning_content": "a command", "tool_calls": [_CHAT_CALL]},
                {"role": "tool", "tool_call_id": "call_1", "content": "hi\n"},
            ],
            **OPENCODE_CHAT,
        },
        server="thinker",
    ),
    Case(
        name="Claude Code begins a session",
        path="/v1/messages?beta=true",
        body={"messages": _CLAUDE_TURN, **CLAUDE_CODE},
        server="thinker",
    ),
    Case(
        name="Claude Code returns the output of a tool",
        path="/v1/messages?beta=true",
        body={"messages": [*_CLAUDE_TURN, *_CLAUDE_TOOL], **CLAUDE_CODE},
        server="thinker",
    ),
    Case(
        name="lm-eval gets content for a question",
        path="/v1/chat/completions",
        body={
            "messages": [{"role": "user", "content": "Add up this bill: soup 9, fish 4"}],
            "max_tokens": 256,
            "temperature": 0,
            "stop": ["Question:", "</s>", "<|im_end|>"],
            "seed": 1234,
        },
        check=_has_content,
    ),
]

"""The grammar of a forced tool call allows objects only as arguments, whatever the tool's schema says."""

import json
from typing import Any

import pytest
from vllm.entrypoints.openai.responses.protocol import ResponsesRequest
from vllm.parser.parser_manager import ParserManager
from xgrammar import Grammar
from xgrammar.testing import _is_grammar_accept_string as accepts

from tenuto_server.api.protocol import ChatCompletionRequest
from tenuto_server.api.tool_grammar import object_schema, with_object_arguments

OTHERS = ('"s"', "[1]", "3", "null", "true", '[{"a": 1}]')
INTEGER = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def schema_accepts(schema: Any, text: str) -> bool:
    return bool(accepts(Grammar.from_json_schema(json.dumps(schema)), text))


@pytest.mark.parametrize(
    "schema",
    [
        None,
        True,
        {},
        {"type": "object"},
        {"type": ["object", "null"]},
        {"type": "string"},
        {"description": "no type"},
        INTEGER,
        {"properties": INTEGER["properties"]},
        {"anyOf": [INTEGER, {"type": "string"}]},
        {"oneOf": [{"properties": INTEGER["properties"]}, True]},
        {"type": "object", "properties": {"a": {}, "b": {}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"allOf": [INTEGER]},
        {"allOf": [{"type": "object"}, {"required": ["a"]}]},
        {"$ref": "#/$defs/A", "$defs": {"A": INTEGER}},
        {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}], "$defs": {"A": INTEGER, "B": {"type": "string"}}},
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}},
        {"$ref": "https://example.com/schema"},
        {"enum": ["s", {"a": 1}, {"b": 2}]},
        {"const": 3},
    ],
    ids=str,
)
def test_any_schema_of_arguments_becomes_one_of_objects(schema: Any) -> None:
    ours = object_schema(schema)
    assert schema_accepts(ours, '{"a": 1}') or schema_accepts(ours, '{"a":1}')
    assert not any(schema_accepts(ours, text) for text in OTHERS)


def test_what_a_schema_says_of_its_objects_is_kept() -> None:
    for schema in (INTEGER, {"anyOf": [INTEGER]}, {"allOf": [INTEGER]}, {"$ref": "#/$defs/A", "$defs": {"A": INTEGER}}):
        assert not schema_accepts(object_schema(schema), '{"a": "x"}'), schema
    assert object_schema(INTEGER) == INTEGER


CHAT_TOOL = {"type": "function", "function": {"name": "add", "parameters": {"properties": {}}}}
NAMED = {"type": "function", "function": {"name": "add"}}


def grammar_of(request: Any, tool_parser: str, tokenizer: Any) -> Any:
    """The structured output that a request with tools runs under."""
    kind = ParserManager.get_parser(tool_parser_name=tool_parser, tokenizer=tokenizer, enable_auto_tools=True)
    assert kind is not None
    return with_object_arguments(kind)(tokenizer, request.tools).adjust_request(request)


@pytest.mark.parametrize("choice", ["required", NAMED], ids=["required", "named"])
@pytest.mark.parametrize("strict", [None, True, False])
def test_the_tag_of_a_forced_call_allows_objects_only(thinker: Any, choice: Any, strict: bool | None) -> None:
    tool = {"type": "function", "function": {**CHAT_TOOL["function"], "strict": strict}}  # type: ignore[dict-item]
    request = ChatCompletionRequest(messages=[], tools=[tool], tool_choice=choice)
    before = [tool.model_dump() for tool in request.tools or ()]
    tag = grammar_of(request, "hermes", thinker).structured_outputs.structural_tag
    grammar = Grammar.from_structural_tag(json.loads(tag))
    call = '<tool_call>\n{{"name": "add", "arguments": {}}}\n</tool_call>'.format
    assert accepts(grammar, call("{}"))
    assert not any(accepts(grammar, call(text)) for text in OTHERS)
    assert [tool.model_dump() for tool in request.tools or ()] == before


@pytest.mark.parametrize("choice", ["required", NAMED], ids=["required", "named"])
def test_the_plain_json_of_a_forced_call_allows_objects_only(thinker: Any, choice: Any) -> None:
    request = ChatCompletionRequest(
        messages=[],
        tools=[{**CHAT_TOOL, "function": {"name": "add", "parameters": {"anyOf": [{}]}}}],
        tool_choice=choice,
    )
    schema = grammar_of(request, "pythonic", thinker).structured_outputs.json
    call = '[{{"name": "add", "parameters": {}}}]'.format if choice == "required" else "{}".format
    assert schema_accepts(schema, call('{"a": 1}'))
    assert not any(schema_accepts(schema, call(text)) for text in OTHERS)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "add"}], ids=["required", "named"])
def test_the_same_holds_for_responses(thinker: Any, choice: Any) -> None:
    tool = {"type": "function", "name": "add", "parameters": None, "strict": None}
    request = ResponsesRequest(input="x", tools=[tool], tool_choice=choice)
    tag = grammar_of(request, "hermes", thinker).structured_outputs.structural_tag
    grammar = Grammar.from_structural_tag(json.loads(tag))
    call = '<tool_call>{{"name": "add", "arguments": {}}}</tool_call>'.format
    assert accepts(grammar, call("{}"))
    assert not any(accepts(grammar, call(text)) for text in OTHERS)
    assert request.tools[0].parameters is None


def test_a_free_choice_stays_free(thinker: Any) -> None:
    request = ChatCompletionRequest(messages=[], tools=[CHAT_TOOL], tool_choice="auto")
    assert grammar_of(request, "hermes", thinker).structured_outputs is None

"""The grammar of a forced tool call: the arguments are an object.

vLLM takes the arguments of a tool that is not `strict` for any JSON, so a call may end up with a text or a list, which
no endpoint can return as arguments.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from xgrammar.structural_tag import JSONSchemaFormat

from ..vllm_compat import Parser, ToolParser, changed_tool_schemas

_OBJECT = "object"
_CHOICES = ("anyOf", "oneOf")
#: References that are followed one after another; more are a circle.
_MAX_REFERENCES = 16


def with_object_arguments(parser_class: type[Parser]) -> type[Parser]:
    """The class with a tool parser whose grammars make the arguments an object; unchanged if it has no tool parser."""
    tool_parser_class = parser_class.tool_parser_cls
    if tool_parser_class is None:
        return parser_class
    objects = type(tool_parser_class.__name__, (ObjectArguments, tool_parser_class), {})
    return type(parser_class.__name__, (parser_class,), {"tool_parser_cls": objects})


class ObjectArguments(ToolParser):
    """Mixed into a tool parser of vLLM's, before it."""

    def get_structural_tag(self, request: Any, **options: Any) -> Any:
        """The grammar of calls in the model's own format; None if it has none."""
        changed = request.model_copy(update={"tools": changed_tool_schemas(request.tools, object_schema)})
        tag = super().get_structural_tag(changed, **options)
        for arguments in _json_formats(tag):
            arguments.json_schema = object_schema(arguments.json_schema)
        return tag

    def adjust_request(self, request: Any) -> Any:
        """Here vLLM makes the grammar of calls in plain JSON, from the schemas of the request."""
        tools = request.tools
        if tools:
            request.tools = changed_tool_schemas(tools, object_schema)
        request = super().adjust_request(request)
        request.tools = tools  # the response repeats them
        return request


def object_schema(schema: Mapping[str, Any] | bool | None) -> dict[str, Any]:
    """The schema of those values that are objects. What cannot be said of them in a grammar is left out."""
    return _only_objects(schema, schema if isinstance(schema, Mapping) else {})


def _only_objects(schema: Any, root: Mapping[str, Any]) -> dict[str, Any]:
    schema = _resolved(schema, root)
    if schema is None:
        return {"type": _OBJECT}
    found = {name: value for name, value in schema.items() if name not in (*_CHOICES, "allOf", "const", "enum")}
    found["type"] = _OBJECT
    for word in _CHOICES:
        branches = schema.get(word)
        # Next to properties, branches mostly say which of them are required: xgrammar reads them alone.
        if isinstance(branches, list) and "properties" not in schema:
            found[word] = [_only_objects(branch, root) for branch in branches if _resolved(branch, root) is not None]
            if not found[word]:
                del found[word]
    parts = schema.get("allOf")
    if isinstance(parts, list) and len(parts) == 1:  # xgrammar takes several for "anything"
        found["allOf"] = [_only_objects(parts[0], root)]
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list) and any(isinstance(value, dict) for value in values):
        found["enum"] = [value for value in values if isinstance(value, dict)]
    return found


def _resolved(schema: Any, root: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema without a reference at its top; None if no object fits it, or nothing is known of those that do."""
    for _ in range(_MAX_REFERENCES):
        if not isinstance(schema, Mapping):
            return None
        types = schema.get("type", _OBJECT)
        if types != _OBJECT and not (isinstance(types, list) and _OBJECT in types):
            return None
        if "$ref" not in schema:
            return dict(schema)
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        target = _target(schema["$ref"], root)
        schema = {**rest, **target} if isinstance(target, Mapping) else None
    return None


def _target(reference: Any, root: Mapping[str, Any]) -> Any:
    """What a reference within the schema points at; None if it points elsewhere."""
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    found: Any = root
    for name in reference.removeprefix("#/").split("/"):
        found = found.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found


def _json_formats(node: Any) -> Iterator[JSONSchemaFormat]:
    """The parts of a structural tag that are JSON, not the model's own notation of arguments."""
    if isinstance(node, JSONSchemaFormat):
        if node.style == "json":
            yield node
    elif isinstance(node, BaseModel):
        for name in type(node).model_fields:
            yield from _json_formats(getattr(node, name))
    elif isinstance(node, list | tuple):
        for part in node:
            yield from _json_formats(part)

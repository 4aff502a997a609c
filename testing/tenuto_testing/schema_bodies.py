"""Bodies made from the schema of a request type: a small valid one, and one for each place that can be wrong."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
#: Puts a value at one place into a body that is otherwise small and valid.
Place = Callable[[Any], Any]

_WRAPPERS = ("default", "nullable", "model", "dataclass", "function-before", "function-after", "function-wrap")
_OBJECTS = ("model-fields", "typed-dict", "dataclass-args")
_LISTS = ("list", "generator", "set", "frozenset")
_MAX_DEPTH = 9


class Bodies:
    """The bodies that a schema describes.

    Args:
        schema: of a request type, `__pydantic_core_schema__`.
    """

    def __init__(self, schema: Schema) -> None:
        self._definitions = {part["ref"]: part for part in schema.get("definitions", ())}
        self._root = schema["schema"] if schema["type"] == "definitions" else schema

    def smallest(self) -> Any:
        """A body with the required fields."""
        return self._example(self._root)

    def places(self) -> Iterator[tuple[str, Schema, bool | None, Place]]:
        """Every place in a body: its path, its schema, whether it may be left out, and what puts a value there.

        A branch of a union is a place too: it is at the union's path, and None says that it is not a field.
        """
        return self._places(self._root, "", lambda value: value, ())

    def unwrapped(self, schema: Schema) -> Schema:
        """The schema of the value itself."""
        while True:
            if schema["type"] in _WRAPPERS:
                schema = schema["schema"]
            elif schema["type"] == "definition-ref":
                schema = self._definitions[schema["schema_ref"]]
            elif schema["type"] == "json-or-python":
                schema = schema["json_schema"]
            else:
                return schema

    def is_nullable(self, schema: Schema) -> bool:
        """Whether null is one of the values."""
        while schema["type"] in _WRAPPERS and schema["type"] != "nullable":
            schema = schema["schema"]
        return schema["type"] in ("nullable", "none", "any")

    def _branches(self, schema: Schema) -> list[Schema]:
        choices = schema["choices"]
        given = choices.values() if isinstance(choices, dict) else choices
        return [branch[0] if isinstance(branch, tuple) else branch for branch in given]

    def _fields(self, schema: Schema) -> Iterator[tuple[str, Schema, bool]]:
        fields = schema["fields"]
        for name, field in fields.items() if isinstance(fields, dict) else ((part["name"], part) for part in fields):
            alias = field.get("validation_alias")
            required = field.get("required", True) and field["schema"]["type"] != "default"
            yield alias if isinstance(alias, str) else name, field["schema"], required

    def _example(self, schema: Schema) -> Any:
        schema = self.unwrapped(schema)
        kind = schema["type"]
        if kind in _OBJECTS:
            return {name: self._example(part) for name, part, required in self._fields(schema) if required}
        if kind in ("union", "tagged-union"):
            return self._example(self._branches(schema)[0])
        if kind in _LISTS:
            return [self._example(schema["items_schema"])] if schema.get("min_length") else []
        if kind == "literal":
            return schema["expected"][0]
        if kind == "enum":
            return schema["members"][0].value
        simple: dict[str, Any] = {"str": "x" * schema.get("min_length", 1), "int": schema.get("ge", 1), "bool": True}
        return {**simple, "float": schema.get("ge", 0.5), "none": None}.get(kind, {})

    def _places(
        self, schema: Schema, path: str, place: Place, inside: tuple[int, ...]
    ) -> Iterator[tuple[str, Schema, bool | None, Place]]:
        schema = self.unwrapped(schema)
        if id(schema) in inside or len(inside) > _MAX_DEPTH:
            return
        inside = (*inside, id(schema))
        kind = schema["type"]
        if kind in ("union", "tagged-union"):
            for branch in self._branches(schema):
                if self.unwrapped(branch)["type"] in (*_OBJECTS, *_LISTS, "dict", "union", "tagged-union"):
                    yield path, branch, None, place
                    yield from self._places(branch, path, place, inside)
        elif kind in _OBJECTS:
            example = self._example(schema)
            for name, part, required in self._fields(schema):
                put = _in_object(place, example, name)
                yield f"{path}.{name}", part, not required, put
                yield from self._places(part, f"{path}.{name}", put, inside)
        elif kind in _LISTS:
            yield from self._places(schema["items_schema"], f"{path}[]", _in_list(place), inside)


def _in_object(place: Place, example: dict[str, Any], name: str) -> Place:
    return lambda value: place({**example, name: value})


def _in_list(place: Place) -> Place:
    return lambda value: place([value])

"""Validators of request bodies whose cost is bounded by the size of the body, made from a model's own schema.

Pydantic's own validators collect every error of every item, once for each branch of each union: a list of 1,200 wrong
items against a union of 58 types costs 280,000 errors and 1.8 GB. Here a list ends at its first wrong item, and a union
validates the one branch that `union_choice` chooses by the value.

There are two steps. vLLM's validators of whole bodies run before pydantic has looked at the fields, and where a type is
wrong they fail in Python's words or spend time on every item. So the first step checks the body against the fields'
types alone, with plain objects in place of models, and the second makes the model of it, with all its validators.

The first step also drops nulls: null for a declared field that may be left out means that it is left out. Values that
no schema describes, such as the schemas of tools, are not touched.

Reports about vLLM 0.32: https://github.com/vllm-project/vllm/issues/49239 (cost), 48319 (null), 45273 (histories).
"""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import (
    InitErrorDetails,
    PydanticCustomError,
    PydanticKnownError,
    SchemaValidator,
    ValidationError,
    core_schema,
)

from .union_choice import BRANCH, NO_BRANCH, Chooser, Definitions, branches_of, fields_of, is_scalar, unwrapped

Schema = dict[str, Any]

#: Keys under which a schema holds others.
_CHILDREN = ("schema", "keys_schema", "values_schema", "python_schema", "json_schema", "lax_schema", "strict_schema")
_CHILD_LISTS = ("steps",)
#: Keys that validation does not need.
_DROPPED = ("serialization", "metadata")


def shape_validator(schema: Mapping[str, Any]) -> SchemaValidator:
    """The first step, of a model's schema: a body in, the same without nulls for optional fields out, or an error."""
    return _build(_ShapeBuilder, schema)


def model_validator_of(schema: Mapping[str, Any]) -> SchemaValidator:
    """The second step, of the same schema: what the first one returned in, the model out, or an error."""
    return _build(_Builder, schema)


def _build(kind: type["_Builder"], schema: Mapping[str, Any]) -> SchemaValidator:
    parts = schema.get("definitions", ())
    builder = kind({part["ref"]: part for part in parts})
    built: Any = builder.build(schema["schema"] if schema["type"] == "definitions" else schema)
    definitions: Any = [{**builder.build(part), "ref": part["ref"]} for part in parts]
    whole = core_schema.definitions_schema(built, definitions) if definitions else built
    return SchemaValidator(whole, _use_prebuilt=False)  # prebuilt: pydantic's own validators of the models in it


class _Builder:
    """Rebuilds a schema with its models and validators: lists end at the first wrong item, unions choose one branch."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions

    def build(self, schema: Mapping[str, Any]) -> Schema:
        kind = schema["type"]
        if kind in ("union", "tagged-union"):
            return self._union(schema)
        if kind in ("list", "set", "frozenset", "tuple", "generator"):
            return self._sequence(schema)
        if kind in ("model-fields", "typed-dict", "dataclass-args"):
            return self._object(schema)
        return self._rebuilt(schema)

    def _rebuilt(self, schema: Mapping[str, Any]) -> Schema:
        """The schema with its parts rebuilt."""
        built = {key: value for key, value in schema.items() if key not in _DROPPED and key != "ref"}
        for key in _CHILDREN:
            if isinstance(built.get(key), dict):
                built[key] = self.build(built[key])
        for key in _CHILD_LISTS:
            if key in built:
                built[key] = [self.build(part) for part in built[key]]
        return built

    def _object(self, schema: Mapping[str, Any]) -> Schema:
        built, fields = self._rebuilt(schema), schema["fields"]
        if isinstance(fields, dict):
            built["fields"] = {name: self._rebuilt(field) for name, field in fields.items()}
        else:
            built["fields"] = [self._rebuilt(field) for field in fields]
        if "extras_schema" in schema:
            built["extras_schema"] = self.build(schema["extras_schema"])
        return built

    def _sequence(self, schema: Mapping[str, Any]) -> Schema:
        built = self._rebuilt(schema)
        items = built.get("items_schema")
        if isinstance(items, dict):
            built["items_schema"] = self.build(items)
        elif items is not None:
            built["items_schema"] = [self.build(part) for part in items]
        if built["type"] == "generator":  # pydantic would validate its items when they are first read, in the renderer
            built["type"] = "list"
        return {**built, "fail_fast": True}

    def _union(self, schema: Mapping[str, Any]) -> Schema:
        branches = list(branches_of(schema, self.definitions))
        scalars = [part for part in branches if is_scalar(part, self.definitions)]
        containers = [part for part in branches if not is_scalar(part, self.definitions)]
        if not containers:
            return self._scalars(scalars)
        chooser = Chooser(containers, scalars, self.definitions)
        choices: dict[str, Any] = {f"{BRANCH}{n}": part for n, part in enumerate(self._branches(containers))}
        if scalars:
            choices[BRANCH] = self._scalars(scalars)
        choices[NO_BRANCH] = core_schema.no_info_plain_validator_function(chooser.refuse)
        return {"type": "tagged-union", "choices": choices, "discriminator": chooser.choose}

    def _branches(self, branches: list[Mapping[str, Any]]) -> list[Schema]:
        return [self.build(branch) for branch in branches]

    def _scalars(self, branches: list[Mapping[str, Any]]) -> Schema:
        """A union of values without parts: at most one error each."""
        if len(branches) == 1:
            return self.build(branches[0])
        return {"type": "union", "choices": [(self.build(part), f"{BRANCH}{part['type']}") for part in branches]}


class _ShapeBuilder(_Builder):
    """The first step has plain objects in place of models, and no validators of whole models."""

    def build(self, schema: Mapping[str, Any]) -> Schema:
        kind = schema["type"]
        if kind in ("model", "dataclass"):
            return self._plain(schema)
        if kind in ("function-after", "function-wrap"):  # the second step runs it, on the model
            return self.build(schema["schema"])
        if kind == "function-before":
            return self._before(schema)
        if kind == "dict":
            return self._dict(schema)
        return super().build(schema)

    def _plain(self, schema: Mapping[str, Any]) -> Schema:
        """The object that a model is made of."""
        inner = schema["schema"]
        while inner["type"].startswith("function-"):
            inner = inner["schema"]
        extra = schema.get("config", {}).get("extra_fields_behavior")
        return self.build({"extra_behavior": extra, **inner})

    def _before(self, schema: Mapping[str, Any]) -> Schema:
        """A validator that changes the value of a field is kept; one of a whole model is left to the second step."""
        if unwrapped(schema, self.definitions)["type"] in ("model-fields", "typed-dict", "dataclass-args"):
            return self.build(schema["schema"])
        return self._rebuilt(schema)

    def _object(self, schema: Mapping[str, Any]) -> Schema:
        fields = {}
        for name, field, is_required in fields_of(schema):
            inner = field["schema"]
            fields[name] = {
                "type": "typed-dict-field",
                "schema": self.build(inner["schema"] if inner["type"] == "default" else inner),
                "required": is_required,
            }
        optional = frozenset(name for name, field in fields.items() if not field["required"])
        known = frozenset(fields) if schema.get("extra_behavior") == "forbid" else None
        built = core_schema.no_info_before_validator_function(
            _prepare(optional, known),
            {"type": "typed-dict", "fields": fields, "extra_behavior": "allow"},
        )
        return dict(built)

    def _branches(self, branches: list[Mapping[str, Any]]) -> list[Schema]:
        """A null for a field that is optional in another branch is dropped too, since either may have been meant."""
        optional, declared = set(), []
        for branch in branches:
            inner = unwrapped(branch, self.definitions)
            fields = list(fields_of(inner)) if "fields" in inner else []
            declared.append({name for name, _, _ in fields})
            optional |= {name for name, _, is_required in fields if not is_required}
        return [
            dict(core_schema.no_info_before_validator_function(_prepare(frozenset(optional - names), None), built))
            if optional - names
            else built
            for names, built in zip(declared, super()._branches(branches), strict=True)
        ]

    def _dict(self, schema: Mapping[str, Any]) -> Schema:
        """Entries of any value cannot be wrong; others are validated as a list, which ends at the first wrong one."""
        built = self._rebuilt(schema)
        values = built.get("values_schema", {"type": "any"})
        if values["type"] == "any":
            return built
        pairs: Any = {
            "type": "list",
            "items_schema": core_schema.tuple_schema([built.get("keys_schema", {"type": "any"}), values]),
            "fail_fast": True,
            **{key: built[key] for key in ("min_length", "max_length") if key in built},
        }
        return dict(core_schema.no_info_wrap_validator_function(_validate_entries, pairs))


def _prepare(optional: frozenset[str], known: frozenset[str] | None) -> Callable[[Any], Any]:
    """What is done to an object before its fields are checked: nulls for optional fields are dropped.

    Args:
        optional: fields that may be left out.
        known: all fields; None where others are accepted.
    """

    def prepare(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if known is not None and not known.issuperset(value):
            unknown = next(name for name in value if name not in known)
            raise PydanticCustomError("extra_forbidden", "{name} is not a field", {"name": unknown})
        if None not in value.values():
            return value
        return {name: part for name, part in value.items() if part is not None or name not in optional}

    return prepare


def _validate_entries(value: Any, validate: core_schema.ValidatorFunctionWrapHandler) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise PydanticKnownError("dict_type")
    try:
        return dict(validate(list(value.items())))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        if not first["loc"]:
            raise
        number, _, *path = first["loc"]
        assert isinstance(number, int)
        problem = PydanticCustomError(first["type"], "{message}", {"message": first["msg"]})
        located = InitErrorDetails(type=problem, loc=(list(value)[number], *path), input=first["input"])
        raise ValidationError.from_exception_data(error.title, [located]) from None

"""Which branch of a union a value is meant for, by the value's own `type` and `role`.

The cost is bounded by the number of branches and their fields: of a list, only the first item is looked at.
"""

from collections.abc import Hashable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic_core import PydanticCustomError

Definitions = Mapping[str, Mapping[str, Any]]

#: What begins the names of branches in the location of an error; no name of a field does.
BRANCH = "\0"
NO_BRANCH = f"{BRANCH}none"

#: Fields whose values name the branch.
_NAMING = ("type", "role")
#: How deep a value is compared with a branch: an item, its content, the first part of that.
_DEPTH = 3
#: How many combinations of fields are remembered for a union, and of how many fields: a client may send any names.
_REMEMBERED = 1000
_MAX_KEY = 64

_OBJECTS = ("model-fields", "typed-dict", "dataclass-args")
_LISTS = ("list", "set", "frozenset", "tuple", "generator")
_WRAPPERS = ("default", "nullable", "model", "dataclass", "function-before", "function-after", "function-wrap")


def unwrapped(schema: Mapping[str, Any], definitions: Definitions) -> Mapping[str, Any]:
    """The schema of the value itself: without defaults, null and validators, by what it refers to."""
    while True:
        kind = schema["type"]
        if kind in _WRAPPERS:
            schema = schema["schema"]
        elif kind == "definition-ref":
            schema = definitions[schema["schema_ref"]]
        elif kind == "json-or-python":
            schema = schema["json_schema"]
        else:
            return schema


def branches_of(schema: Mapping[str, Any], definitions: Definitions) -> Iterator[Mapping[str, Any]]:
    """All branches of a union, those of unions in it too."""
    choices = schema["choices"]
    for choice in choices.values() if isinstance(choices, dict) else choices:
        branch = choice[0] if isinstance(choice, tuple) else choice
        inner = branch
        while inner["type"] == "definition-ref":
            inner = definitions[inner["schema_ref"]]
        if inner["type"] in ("union", "tagged-union"):
            yield from branches_of(inner, definitions)
        elif inner["type"] == "nullable":
            yield {"type": "none"}
            yield from branches_of({"choices": [inner["schema"]]}, definitions)
        else:
            yield branch


def is_scalar(schema: Mapping[str, Any], definitions: Definitions) -> bool:
    """Whether neither an object nor a list is a value of this schema."""
    return unwrapped(schema, definitions)["type"] not in (*_OBJECTS, *_LISTS, "dict", "any", "union", "tagged-union")


#: What JSON values a schema without parts takes: their classes, and what they are called in an error.
_SCALARS: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "a string"),
    "bytes": ((str,), "a string"),
    "int": ((int, float), "an integer"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "none": ((type(None),), "null"),
}


@dataclass(slots=True)
class _Branch:
    """A schema as far as values are compared with it.

    Attributes:
        kind: `object`, `list`, `any`, `union` or `scalar`.
        literals: the values that a field may have, where they are listed.
        classes: of the values, where they have no parts and are not listed; empty for any.
        fields: of an object. Filled last, since schemas refer to themselves.
        required: fields that an object must have.
        items: of a list; of a union, its branches.
        accepts_null: whether null is a value.
        model: the class whose instances are values.
    """

    kind: str
    literals: frozenset[Any] = frozenset()
    classes: tuple[type, ...] = ()
    fields: "dict[str, _Branch]" = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    items: "list[_Branch]" = field(default_factory=list)
    accepts_null: bool = False
    model: type | None = None

    def faults(self, value: Any, depth: int = _DEPTH) -> int:
        """How much of a value contradicts this branch, as far as it is compared."""
        if self.kind == "any" or (value is None and self.accepts_null):
            return 0
        if self.kind == "union":
            return min(branch.faults(value, depth) for branch in self.items)
        if self.kind == "list":
            if not isinstance(value, (list, tuple)):
                return 1
            return min(1, self.items[0].faults(value[0], depth - 1)) if value and self.items and depth else 0
        if self.kind == "scalar":
            return int(not self._is_scalar(value))
        if not isinstance(value, dict):
            return 1
        return self.missing(value) + self.wrong_parts(value, depth) if depth else 0

    def missing(self, value: Mapping[str, Any]) -> int:
        """How many fields an object lacks that this branch requires."""
        return len(self.required - value.keys()) if self.required else 0

    def wrong_parts(self, value: Mapping[str, Any], depth: int = _DEPTH) -> int:
        """How many fields of an object contradict this branch."""
        wrong = 0
        for name, branch in self.fields.items():
            part = value.get(name)
            if part is not None:
                wrong += min(1, branch.faults(part, depth - 1))
        return wrong

    def _is_scalar(self, value: Any) -> bool:
        if self.literals:
            return _is_in(value, self.literals)
        return isinstance(value, self.classes) if self.classes else not isinstance(value, (list, dict))

    def unknown(self, names: Set[str]) -> int:
        """How many of the names this branch does not declare."""
        return len(names - self.fields.keys())


class Chooser:
    """Chooses a branch of one union.

    Args:
        branches: those whose values are objects or lists, in the order of the union. Their names are `BRANCH` and the
            number.
        scalars: the others. Pydantic tries them all, and their name is `BRANCH`.
    """

    def __init__(
        self, branches: list[Mapping[str, Any]], scalars: list[Mapping[str, Any]], definitions: Definitions
    ) -> None:
        self._schemas, self._scalar_schemas, self._definitions = branches, scalars, definitions
        self._by_names: dict[tuple[str | None, ...], list[int]] = {}
        self._by_type: dict[tuple[str | None, ...], list[int]] = {}

    @cached_property
    def _branches(self) -> list[_Branch]:
        """Compiled when first used: a schema that refers to itself is not complete before."""
        compile_schema = _Compiler(self._definitions)
        return [compile_schema(schema) for schema in self._schemas]

    @cached_property
    def _scalars(self) -> list[_Branch]:
        return [_Compiler(self._definitions)(schema) for schema in self._scalar_schemas]

    @cached_property
    def _objects(self) -> list[int]:
        return [number for number, branch in enumerate(self._branches) if branch.kind == "object"]

    @cached_property
    def _has_names(self) -> bool:
        return any(self._literals(number, name) for number in self._objects for name in _NAMING)

    def choose(self, value: Any) -> str:
        """The name of the branch; `NO_BRANCH` for a value that is meant for none."""
        if isinstance(value, dict):
            return self._name(self._of_object(value), value)
        if isinstance(value, (list, tuple, set, frozenset)):
            return self._name(self._of_kind("list"), value)
        for number, branch in enumerate(self._branches):
            if branch.model is not None and isinstance(value, branch.model):
                return f"{BRANCH}{number}"
        if self._scalars and any(branch.literals or not branch.faults(value) for branch in self._scalars):
            return BRANCH
        return self._name(self._of_kind(), value)

    def refuse(self, value: Any) -> Any:
        """Raise what is wrong with a value for which there is no branch."""
        if not isinstance(value, dict) or not self._objects:
            raise PydanticCustomError("kind", "should be {kinds}", {"kinds": self._kinds()})
        numbers = self._objects
        for name in _NAMING:
            left = self._left(value, numbers, name)
            if not left and value.get(name) is not None:
                raise self._wrong_name(value, numbers, name)
            numbers = left or numbers
        names = [name for name in _NAMING if any(self._literals(number, name) for number in self._objects)]
        raise PydanticCustomError("missing", "has no {names}", {"names": " and no ".join(names)})

    def _kinds(self) -> str:
        words = [_SCALARS[schema["type"]][1] for schema in self._scalar_schemas if schema["type"] in _SCALARS]
        kinds = {branch.kind for branch in self._branches}
        words += [word for kind, word in (("list", "a list"), ("object", "an object")) if kind in kinds]
        return " or ".join(dict.fromkeys(words))

    def _wrong_name(self, value: Mapping[str, Any], numbers: list[int], name: str) -> PydanticCustomError:
        words = ", ".join(sorted({str(word) for number in numbers for word in self._literals(number, name)}))
        context = {"name": name, "shown": repr(value[name])[:40], "words": words}
        return PydanticCustomError("unknown", "{name}: {shown} is not one of {words}", context)

    def _of_object(self, value: dict[str, Any]) -> list[int]:
        """The branches that an object's `type` and `role` leave, those first that its fields fit best; none where it
        has too little to choose by. It depends on the names of its fields only, and is remembered for these.
        """
        key = (*(value.get(name) for name in _NAMING), *(name for name, part in value.items() if part is not None))
        is_short = len(key) <= _MAX_KEY and all(isinstance(part, str) or part is None for part in key)
        numbers = self._by_names.get(key) if is_short else None
        if numbers is None:
            numbers = self._ordered(value)
            if is_short and len(self._by_names) < _REMEMBERED:
                self._by_names[key] = numbers
        return numbers

    def _ordered(self, value: dict[str, Any]) -> list[int]:
        numbers = self._named(value)
        if numbers and self._lacks_names(value, numbers):
            return []
        given = {name for name, part in value.items() if part is not None}
        fitting = {n: (self._branches[n].missing(value), self._branches[n].unknown(given)) for n in numbers}
        return sorted(numbers, key=fitting.__getitem__) or self._of_kind()

    def _named(self, value: dict[str, Any]) -> list[int]:
        """The branches that an object's `type` and `role` leave."""
        key = tuple(value.get(name) for name in _NAMING)
        is_known = all(isinstance(part, str) or part is None for part in key)
        numbers = self._by_type.get(key) if is_known else None
        if numbers is None:
            numbers = self._objects
            for name in _NAMING:
                numbers = self._left(value, numbers, name)
            if is_known and len(self._by_type) < _REMEMBERED:
                self._by_type[key] = numbers
        return numbers

    def _lacks_names(self, value: Mapping[str, Any], numbers: list[int]) -> bool:
        """Whether a value without `type` and `role` fits none of several branches that these name."""
        if any(value.get(name) is not None for name in _NAMING) or len(self._objects) == 1:
            return False
        return self._has_names and all(
            self._branches[number].missing(value) or self._branches[number].fields.keys().isdisjoint(value)
            for number in numbers
        )

    def _of_kind(self, *kinds: str) -> list[int]:
        return [number for number, branch in enumerate(self._branches) if branch.kind in (*kinds, "any")]

    def _literals(self, number: int, name: str) -> frozenset[Any]:
        branch = self._branches[number].fields.get(name)
        return branch.literals if branch is not None else frozenset()

    def _left(self, value: Mapping[str, Any], numbers: list[int], name: str) -> list[int]:
        """The branches that a value's `type` or `role` leaves."""
        given = value.get(name)
        if given is None:
            return [
                number
                for number in numbers
                if not (self._literals(number, name) and name in self._branches[number].required)
            ]
        named = [number for number in numbers if _is_in(given, self._literals(number, name))]
        if (named and name == "type") or not isinstance(given, str):
            return named
        # A role may also be any word, in a branch with more fields.
        return [number for number in numbers if number in named or not self._literals(number, name)]

    def _name(self, numbers: list[int], value: Any) -> str:
        """The name of the branch with the fewest faults, the first of several.

        Mostly the first has none. Where all have some, the value is wrong, and nothing after it is looked at.
        """
        best, fewest = NO_BRANCH, None
        for number in numbers:
            branch = self._branches[number]
            faults = 0 if len(numbers) == 1 else branch.faults(value) + (branch.kind == "any")
            if fewest is None or faults < fewest:
                best, fewest = f"{BRANCH}{number}", faults
            if not fewest:
                break
        return best


class _Compiler:
    """Makes branches of schemas; those that refer to themselves too."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._made: dict[int, _Branch] = {}

    def __call__(self, schema: Mapping[str, Any]) -> _Branch:
        inner = unwrapped(schema, self._definitions)
        known = self._made.get(id(inner))
        if known is not None:
            return known
        kind = inner["type"]
        if kind in (*_OBJECTS, "dict"):
            return self._object(schema, inner)
        if kind in _LISTS:
            return self._list(inner)
        if kind in ("union", "tagged-union"):
            made = self._made[id(inner)] = _Branch("union")
            made.items = [self(branch) for branch in branches_of(inner, self._definitions)]
            return made
        if kind == "any":
            return _Branch("any")
        literals = frozenset(inner["expected"]) if kind == "literal" else frozenset()
        classes = _SCALARS[kind][0] if kind in _SCALARS else ()
        return _Branch("scalar", literals, classes, accepts_null=kind == "none")

    def _list(self, inner: Mapping[str, Any]) -> _Branch:
        made = self._made[id(inner)] = _Branch("list")
        items = inner.get("items_schema")
        made.items = [self(items)] if isinstance(items, dict) else []
        return made

    def _object(self, schema: Mapping[str, Any], inner: Mapping[str, Any]) -> _Branch:
        made = self._made[id(inner)] = _Branch("object", model=self._model(schema))
        required = set()
        for name, part, is_required in fields_of(inner) if inner["type"] in _OBJECTS else ():
            made.fields[name] = self(part["schema"])
            if is_required:
                required.add(name)
        made.required = frozenset(required)
        return made

    def _model(self, schema: Mapping[str, Any]) -> type | None:
        """The class of a model, which vLLM's validators may have made already."""
        while True:
            if schema["type"] in ("model", "dataclass"):
                cls: type = schema["cls"]
                return cls
            if schema["type"] == "definition-ref":
                schema = self._definitions[schema["schema_ref"]]
            elif schema["type"] in _WRAPPERS:
                schema = schema["schema"]
            else:
                return None


def fields_of(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """The fields of an object's schema: the name in JSON, the field's schema, whether it is required."""
    fields = schema["fields"]
    total = schema["type"] != "typed-dict" or schema.get("total", True)
    for name, part in fields.items() if isinstance(fields, dict) else ((part["name"], part) for part in fields):
        alias = part.get("validation_alias")
        has_default = part["schema"]["type"] == "default"
        yield alias if isinstance(alias, str) else name, part, part.get("required", total) and not has_default


def _is_in(value: Any, words: frozenset[Any]) -> bool:
    return isinstance(value, Hashable) and value in words

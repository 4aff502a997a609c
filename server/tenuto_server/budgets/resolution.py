"""What a request gets of what it asks for: defaults, precedence, and what is refused because it could not be kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tenuto_decoding.budget import MAX_TOKENS, ThinkingBudget
from tenuto_decoding.errors import InvalidBudget, UnknownMarkers
from tenuto_decoding.markers import ThinkingMarkers, Tokenizer
from tenuto_decoding.plan import ThinkingPlan, compile_plan
from tenuto_decoding.prompt import Phase, initial_phase

from .defaults import Defaults, is_bounded
from .request_fields import AUTO, CAP, EFFORT, RESERVE, UNLIMITED, BudgetRequest

DEFAULT_ANSWER_RESERVE = 1024

#: Raises InvalidBudget for a floor that leaves no room for the answer of a reply.
FloorCheck = Callable[[int], None]

_FLOOR, _WAITS, _LANDING = "min_thinking_tokens", "num_waits", "landing_tokens"


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """Where the reply has to fit.

    Attributes:
        max_tokens: tokens that may be generated.
        context: tokens of the model's context.
    """

    max_tokens: int
    context: int

    def describe(self, prompt_tokens: int) -> str:
        """The bound in words, by what it comes from."""
        if self.max_tokens < self.context - prompt_tokens:
            return f"max_tokens, which is {self.max_tokens}"
        return f"the {self.max_tokens} that the prompt's {prompt_tokens} leave of the model's context of {self.context}"


@dataclass(frozen=True, slots=True)
class Resolution:
    """What is in force for a request.

    Attributes:
        budget: None where nothing is.
        plan: of the budget; without a budget, one that only counts; None where the markers are not known.
        set_by: for each field that was set, the name by which: `request`, another server's name for the cap,
            `reasoning_effort` or `default`.
        check_floor: for a floor that the reply is given while it runs.
    """

    budget: ThinkingBudget | None = None
    plan: ThinkingPlan | None = None
    set_by: Mapping[str, str] = field(default_factory=dict)
    check_floor: FloorCheck = field(default=lambda floor: None, compare=False)


@dataclass(frozen=True, slots=True)
class ThinkingPolicy:
    """The server's side of a budget.

    Attributes:
        markers: how the served model marks its thinking; None if not known: then no budget can be asked for.
        defaults: what requests get that ask for nothing, and what an effort stands for.
        answer_reserve: tokens that are left for the answer by caps which the request has not given as a number, but at
            most a quarter of the reply.
    """

    markers: ThinkingMarkers | None
    defaults: Defaults = field(default_factory=Defaults)
    answer_reserve: int = DEFAULT_ANSWER_RESERVE

    def resolve(
        self, asked: BudgetRequest, prompt: Sequence[int], tokenizer: Tokenizer, room: TokenLimits
    ) -> Resolution:
        """The budget in force for a request to which the reply follows the ids of `prompt`.

        Explicit fields come before the fields that `reasoning_effort` stands for, and those before the defaults. What
        is explicit is kept or refused; the others yield to it, to the room, and to where the prompt ends.

        Raises:
            InvalidBudget: for what is wrong in itself or cannot be kept in this request.
            UnknownMarkers: for a budget on a model whose markers are not known.
        """
        if self.markers is None:
            if asked.fields or asked.reserve is not None:
                raise UnknownMarkers(
                    "this model's thinking markers are not known, so no thinking budget can be enforced; "
                    "start the server with --thinking-family, or --thinking-start-marker and --thinking-end-marker"
                )
            return Resolution()
        counting = compile_plan(None, self.markers, tokenizer)
        effort = self.defaults.effort_of(asked.model, asked.effort)
        default = self.defaults.budget_of(asked.model)
        if not (asked.fields or asked.reserve is not None or effort or default):
            return Resolution(plan=counting)
        phase = initial_phase(counting, prompt)
        place = _PromptPosition(prompt, room, phase, _around(self.markers, tokenizer, phase))
        explicit = self._explicit(asked, place)
        merged = _LayeredFields()
        merged.add(explicit, "request")
        merged.add(self._fitted(effort, asked, place), EFFORT)
        merged.add(self._fitted(default, asked, place), "default")
        if asked.reserve is not None:
            merged.cap_at_most(self._fitting(asked, place), RESERVE)
        if asked.fields or is_bounded(merged.fields):
            budget, set_by = merged.budget(asked.cap_name)
            plan = compile_plan(budget, self.markers, tokenizer)
            return Resolution(budget, plan, set_by, lambda floor: place.check_bound(_FLOOR, floor, asked.reserve))
        return Resolution(plan=counting)

    def _explicit(self, asked: BudgetRequest, place: "_PromptPosition") -> Mapping[str, Any]:
        """The request's own fields, with the number that "auto" comes to; refused where they cannot be kept."""
        fields = dict(asked.fields)
        if asked.reserve is not None:
            place.check_reserve(asked.reserve)
        if fields.get(CAP) == AUTO:
            fields[CAP] = self._fitting(asked, place)
            floor = fields.get(_FLOOR, 0)
            if floor > fields[CAP]:
                raise InvalidBudget(
                    _FLOOR, f"{floor} is above {asked.cap_name}, which is {AUTO} and comes to {fields[CAP]}"
                )
        if fields.get(CAP) == 0 and fields.get(_WAITS):
            raise InvalidBudget(_WAITS, f"{fields[_WAITS]} cannot be had without thinking: {asked.cap_name} comes to 0")
        if place.phase is Phase.ANSWER:
            for name in (_FLOOR, _WAITS):
                if fields.get(name):
                    raise InvalidBudget(
                        name,
                        "the prompt has closed the thinking already, so the reply cannot be made to think; "
                        "with enable_thinking: false in chat_template_kwargs, leave that out",
                    )
        for name, shown in ((_FLOOR, _FLOOR), (CAP, asked.cap_name)):
            if isinstance(fields.get(name), int):
                place.check_bound(shown, fields[name], asked.reserve)
        return fields

    def _fitted(self, fields: Mapping[str, Any], asked: BudgetRequest, place: "_PromptPosition") -> Mapping[str, Any]:
        """Fields that the request has not given itself, as far as they agree with its room and its prompt."""
        most = self._fitting(asked, place)
        fitted = dict(fields)
        if fitted.get(CAP) == AUTO:
            fitted[CAP] = most
        for name in (CAP, _FLOOR):
            if isinstance(fitted.get(name), int):
                fitted[name] = min(fitted[name], most)
        if place.phase is Phase.ANSWER:
            fitted = {name: value for name, value in fitted.items() if name not in (_FLOOR, _WAITS)}
        return fitted

    def _fitting(self, asked: BudgetRequest, place: "_PromptPosition") -> int:
        """The largest cap that leaves the answer its reserve."""
        room, reserve = place.room.max_tokens, asked.reserve
        if reserve is None:
            reserve = min(self.answer_reserve, room // 4)
        return max(0, room - place.around - reserve)


@dataclass(frozen=True, slots=True)
class _PromptPosition:
    """Where the reply stands.

    Attributes:
        around: tokens around the thinking that a cap closes: markers, and what is forced with them.
    """

    prompt: Sequence[int]
    room: TokenLimits
    phase: Phase
    around: int

    def check_bound(self, name: str, bound: int, reserve: int | None) -> None:
        """Refuse a bound that does not leave room for the answer: its reserve if one was asked for, else a token."""
        answer = 1 if reserve is None else reserve
        if bound and bound + self.around + answer > self.room.max_tokens:
            raise InvalidBudget(
                name,
                f"{bound} thinking tokens, {self.around} tokens of markers around them and at least {answer} of an "
                f"answer are more than {self.room.describe(len(self.prompt))}",
            )

    def check_reserve(self, reserve: int) -> None:
        if reserve + self.around > self.room.max_tokens:
            raise InvalidBudget(
                RESERVE,
                f"{reserve} tokens of an answer and {self.around} of markers before it are more than "
                f"{self.room.describe(len(self.prompt))}",
            )


class _LayeredFields:
    """Fields laid one over the other, the first to come on top; a lower one that contradicts a higher one yields.

    The request's own come first and do not contradict each other.
    """

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self._origins: dict[str, str] = {}

    def add(self, fields: Mapping[str, Any], origin: str) -> None:
        new = {name: value for name, value in fields.items() if name not in self.fields}
        given = {**self.fields, **new}
        cap, floor = given.get(CAP), given.get(_FLOOR, 0)
        if isinstance(cap, int) and floor > cap:
            new.update({_FLOOR: cap} if _FLOOR in new else {CAP: floor})
        if cap == 0 and given.get(_WAITS):
            del new[_WAITS if _WAITS in new else CAP]
        self.fields.update(new)
        self._origins.update(dict.fromkeys(new, origin))

    def cap_at_most(self, bound: int, origin: str) -> None:
        """Where there is no cap yet, this is it; any other has been made to keep to it."""
        if self.fields.get(CAP) in (None, UNLIMITED):
            self.fields[CAP] = bound
            self._origins[CAP] = origin

    def budget(self, cap_name: str) -> tuple[ThinkingBudget, dict[str, str]]:
        """The budget, and what set each of its fields; the request's cap under the name that the request used."""
        fields = {name: value for name, value in self.fields.items() if name != CAP or value != UNLIMITED}
        origins = dict(self._origins)
        if CAP not in fields and origins.get(_LANDING) not in (None, "request"):
            del fields[_LANDING], origins[_LANDING]
        if origins.get(CAP) == "request" and cap_name != CAP:
            origins[CAP] = cap_name
        return ThinkingBudget(**fields), origins


def _around(markers: ThinkingMarkers, tokenizer: Tokenizer, phase: Phase) -> int:
    """How many tokens stand around the thinking that a cap closes: markers, and what is forced with them."""
    plan = compile_plan(ThinkingBudget(max_thinking_tokens=MAX_TOKENS), markers, tokenizer)
    opening = len(plan.start.ids) if phase is Phase.BEFORE else 0
    return opening + len(plan.newline) + len(plan.end.ids) + len(plan.answer_prefix)

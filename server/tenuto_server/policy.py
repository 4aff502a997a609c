"""What a request gets of what it asks for: defaults, precedence, and what is refused because it could not be kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tenuto_decoding.automaton import Phase, initial_phase
from tenuto_decoding.budget import FIELDS, MAX_TOKENS, ThinkingBudget, check_names
from tenuto_decoding.errors import InvalidBudget, UnknownMarkers
from tenuto_decoding.markers import ThinkingMarkers, Tokenizer
from tenuto_decoding.plan import ThinkingPlan, compile_plan

DEFAULT_ANSWER_RESERVE = 1024

#: The cap that leaves room for the answer, whatever `max_tokens` and the context are.
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Room:
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
class ThinkingPolicy:
    """The server's side of a budget.

    Attributes:
        markers: how the served model marks its thinking; None if not known: then no budget can be asked for.
        default: the budget of requests that ask for none.
        answer_reserve: tokens that the cap "auto" leaves for the answer, but at most a quarter of the reply.
    """

    markers: ThinkingMarkers | None
    default: ThinkingBudget | None
    answer_reserve: int = DEFAULT_ANSWER_RESERVE

    def resolve(
        self, asked: Mapping[str, Any], native_cap: int | None, prompt: Sequence[int], tokenizer: Tokenizer, room: Room
    ) -> tuple[ThinkingBudget | None, ThinkingPlan | None]:
        """The budget in force for a request and its plan; the plan of a request without a budget only counts.

        Args:
            asked: the request's own fields (others are ignored).
            native_cap: vLLM's `thinking_token_budget`, which counts where the request has no cap of ours.
            prompt: the token ids that the reply follows.

        Raises:
            InvalidBudget: for what is wrong in itself or cannot be kept in this request.
            UnknownMarkers: for a budget on a model whose markers are not known.
        """
        given = _with_native_cap(asked, native_cap)
        if self.markers is None:
            check_names(given)
            if any(given.get(name) is not None for name in FIELDS):
                raise UnknownMarkers(
                    "this model's thinking markers are not known, so no thinking budget can be enforced; "
                    "start the server with --thinking-family, or --thinking-start-marker and --thinking-end-marker"
                )
            return None, None
        if given.get("max_thinking_tokens") == AUTO:
            given = {**given, "max_thinking_tokens": self._auto(given, self.markers, prompt, tokenizer, room)}
        explicit = ThinkingBudget.from_mapping(given)
        counting = compile_plan(None, self.markers, tokenizer)
        budget = self._in_force(given, explicit, initial_phase(counting, prompt))
        if budget is None:
            return None, counting
        plan = compile_plan(budget, self.markers, tokenizer)
        if explicit is not None:
            _check_room(explicit, plan, prompt, room)
        return budget, plan

    def _auto(
        self,
        given: Mapping[str, Any],
        markers: ThinkingMarkers,
        prompt: Sequence[int],
        tokenizer: Tokenizer,
        room: Room,
    ) -> int:
        """The cap that "auto" stands for: what the markers and the answer's reserve leave of the reply."""
        unbounded = ThinkingBudget.from_mapping({**given, "max_thinking_tokens": MAX_TOKENS})
        around = _around(compile_plan(unbounded, markers, tokenizer), prompt)
        return max(0, room.max_tokens - around - min(self.answer_reserve, room.max_tokens // 4))

    def _in_force(
        self, given: Mapping[str, Any], explicit: ThinkingBudget | None, phase: Phase
    ) -> ThinkingBudget | None:
        """Explicit fields, then the defaults as far as they agree with those and with where the prompt ends."""
        if explicit is not None and explicit.extends and phase is Phase.ANSWER:
            field = "min_thinking_tokens" if explicit.min_thinking_tokens else "num_waits"
            raise InvalidBudget(
                field, "the prompt has closed the thinking already, so the reply cannot be made to think"
            )
        default = self.default
        if default is not None and phase is Phase.ANSWER:
            default = replace(default, min_thinking_tokens=0, num_waits=0)
        if default == ThinkingBudget():
            default = None
        if explicit is None or default is None:
            return explicit or default
        return _overlay({name: given[name] for name in FIELDS if given.get(name) is not None}, explicit, default)


def _with_native_cap(asked: Mapping[str, Any], native_cap: int | None) -> Mapping[str, Any]:
    if native_cap is None or asked.get("max_thinking_tokens") is not None:
        return asked
    return {**asked, "max_thinking_tokens": native_cap}


def _overlay(given: dict[str, Any], explicit: ThinkingBudget, default: ThinkingBudget) -> ThinkingBudget:
    """The given fields over the defaults; a default that contradicts a given field yields to it."""
    merged = {**default.to_dict(), **given}
    cap = explicit.max_thinking_tokens
    if cap is not None:
        merged["min_thinking_tokens"] = min(merged["min_thinking_tokens"], cap)
        if cap == 0:
            merged["num_waits"] = explicit.num_waits
    elif default.max_thinking_tokens is not None:
        merged["max_thinking_tokens"] = max(default.max_thinking_tokens, explicit.min_thinking_tokens)
    return ThinkingBudget(**merged)


def _check_room(explicit: ThinkingBudget, plan: ThinkingPlan, prompt: Sequence[int], room: Room) -> None:
    """Refuse bounds that leave no room for an answer.

    Around the thinking stand its markers and what is forced with them; at least one token is left for the answer.
    """
    around = _around(plan, prompt)
    for field in ("min_thinking_tokens", "max_thinking_tokens"):
        bound = getattr(explicit, field)
        if bound and bound + around + 1 > room.max_tokens:
            raise InvalidBudget(
                field,
                f"{bound} thinking tokens, {around} tokens of markers around them and at least 1 of an answer are more "
                f"than {room.describe(len(prompt))}",
            )


def _around(plan: ThinkingPlan, prompt: Sequence[int]) -> int:
    """How many tokens stand around the thinking that the cap closes: markers, and what is forced with them."""
    opening = len(plan.start.ids) if plan.opens_itself and initial_phase(plan, prompt) is Phase.BEFORE else 0
    return opening + len(plan.newline) + len(plan.end.ids) + len(plan.answer_prefix)

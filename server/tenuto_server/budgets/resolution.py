"""What a request gets of what it asks for: defaults, precedence, and what is refused because it cannot be enforced."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vllm.sampling_params import SamplingParams

from tenuto_decoding.automaton import ThinkingAutomaton
from tenuto_decoding.budget import MAX_TOKENS, ThinkingBudget
from tenuto_decoding.errors import InvalidBudget, UnknownMarkers
from tenuto_decoding.markers import ThinkingMarkers, Tokenizer
from tenuto_decoding.plan import ThinkingPlan, compile_plan
from tenuto_decoding.prompt import Phase, initial_phase
from tenuto_decoding.vllm_requests import plan_for

from .chat_prompts import is_chat, names_variable, template_of
from .conflicts import check_sampling
from .defaults import Defaults, Fields, is_bounded
from .other_names import TEMPLATE
from .request_fields import AUTO, CAP, EFFORT, FLOOR, LANDING, RESERVE, UNLIMITED, WAITS, BudgetRequest, PromptSource
from .structured_output import GrammarStart, budget_with_grammar, check_grammar_start, opens_thinking

DEFAULT_ANSWER_RESERVE = 1024


@dataclass(frozen=True, slots=True)
class Generation:
    """What the engine is about to generate for a request.

    Attributes:
        prompt: token ids.
        params: the request's, with the model's own stop ids put in.
        stop_token_ids: those that the request itself gives.
        context: tokens of the model's context.
        grammar_start: what decides where a grammar begins, where the request has one.
    """

    prompt: Sequence[int]
    params: SamplingParams
    stop_token_ids: Sequence[int] = ()
    context: int = MAX_TOKENS
    grammar_start: GrammarStart = GrammarStart.OUR_MARKERS

    @property
    def max_tokens(self) -> int:
        """How many tokens may be generated."""
        return self.params.max_tokens or self.context

    @property
    def has_grammar(self) -> bool:
        return self.params.structured_outputs is not None

    def describe_limit(self) -> str:
        """`max_tokens` for an error message, with where it comes from."""
        tokens, prompt = self.max_tokens, len(self.prompt)
        if tokens < self.context - prompt:
            return f"max_tokens, which is {tokens}"
        return f"the {tokens} that the prompt's {prompt} leave of the model's context of {self.context}"


@dataclass(frozen=True, slots=True)
class ResolvedBudget:
    """What is in force for one request: the budget, compiled, and where the reply begins.

    Attributes:
        plan: of the budget; one that only counts where there is none.
        budget: None where nothing bounds the thinking.
        phase: in which the reply begins.
        last_token: of the prompt; None where it is empty.
        set_by: for each field that was set, by what: `request`, another server's name for the cap, `reasoning_effort`,
            `answer_reserve_tokens` or `default`.
        only_closes: the budget is the built-in default alone, which opens no thinking.
        asks_workers: whether a report needs what only the engine's workers know. Not for the built-in default: it would
            cost every reply a call, only to distinguish the model's end of sequence from its end of thinking.
        grammar_begins: whether a grammar begins with the first token; None without one, or where vLLM decides.
        floor_limit: checks a floor that the reply is given while it runs; None where nothing has to fit.
    """

    plan: ThinkingPlan
    budget: ThinkingBudget | None = None
    phase: Phase = Phase.BEFORE
    last_token: int | None = None
    set_by: Mapping[str, str] = field(default_factory=dict)
    only_closes: bool = False
    asks_workers: bool = True
    grammar_begins: bool | None = None
    floor_limit: "AnswerRoom | None" = field(default=None, compare=False)

    def start(self) -> ThinkingAutomaton:
        """The automaton of a reply before its first token. Call it for each choice."""
        return ThinkingAutomaton(self.plan, self.phase, self.last_token)

    def check_floor(self, floor: int) -> None:
        """Refuse a new floor that leaves no room for the answer. Raises InvalidBudget."""
        if self.floor_limit is not None:
            self.floor_limit.check_bound(FLOOR, floor)


@dataclass(frozen=True, slots=True)
class ThinkingPolicy:
    """The server's side of a budget.

    Attributes:
        markers: how the served model marks its thinking; None if not known: then no budget can be requested.
        defaults: what requests get that ask for nothing, and what an effort means.
        answer_reserve: tokens that are left for the answer by caps which the request has not given as a number, but at
            most a quarter of the reply.
        max_end_ids: how many ids that end a reply the logits processor can handle; None for any number.
        template: the chat template, where it is not the tokenizer's own.
        switched_on: the template's variables by which the operator turns thinking on for all requests.
    """

    markers: ThinkingMarkers | None
    defaults: Defaults = field(default_factory=Defaults)
    answer_reserve: int = DEFAULT_ANSWER_RESERVE
    max_end_ids: int | None = None
    template: str | None = None
    switched_on: tuple[str, ...] = ()

    def template_variables(self, request: BudgetRequest) -> Mapping[str, Any]:
        """The chat template's variables that switch thinking off, where the request's cap is 0; else none.

        The model was trained on what the template itself writes in place of thinking: better than ending it by force.
        A cap that only results in 0 once the prompt is known is not among these.
        """
        if self.markers is None or not self._has_cap_of_0(request):
            return {}
        return dict(self.markers.off_switch)

    def _has_cap_of_0(self, request: BudgetRequest) -> bool:
        """Whether the request switches thinking off, before its prompt is known."""
        layers = _LayeredFields()
        layers.add(request.fields, "request")
        layers.add(self.defaults.effort_of(request.model, request.effort), EFFORT)
        layers.add(self.defaults.budget_of(request.model), "default")
        return request.switched_off is not None or layers.fields.get(CAP) == 0

    def resolve(self, request: BudgetRequest, generation: Generation, tokenizer: Tokenizer) -> ResolvedBudget | None:
        """The budget in force for a request, compiled; None where the model's markers are not known.

        Explicit fields come before the fields that `reasoning_effort` means, and those before the defaults. Explicit
        fields are enforced or refused; the others yield to them, to `max_tokens`, and to a prompt that has closed the
        thinking. Defaults are for chats, and for prompts that have opened the thinking. The built-in default yields to
        everything that it cannot be kept with, too.

        Raises:
            InvalidBudget: for a field that is wrong in itself or cannot be enforced in this request.
            UnknownMarkers: for a budget on a model whose markers are not known.
        """
        self._check_variables(request, tokenizer)
        if self.markers is None:
            if request.fields or request.reserve is not None:
                raise UnknownMarkers(
                    "this model's thinking markers are not known, so no thinking budget can be enforced; "
                    "start the server with --thinking-family, or --thinking-start-marker and --thinking-end-marker, or "
                    "--thinking-markers"
                )
            return None
        phase = initial_phase(compile_plan(None, self.markers, tokenizer), generation.prompt)
        if request.switched_off is not None:
            request = _without_thinking(request, request.switched_off)
        if not _takes_defaults(request, generation.prompt, phase, tokenizer):
            return self._resolve(self.markers, request, generation, tokenizer, phase, {}, {})
        default = self.defaults.budget_of(request.model)
        try:
            return self._resolve(self.markers, request, generation, tokenizer, phase, default, self.defaults.built_in)
        except InvalidBudget:
            if not self.defaults.built_in:
                raise
        return self._resolve(self.markers, request, generation, tokenizer, phase, default, {})

    def _check_variables(self, request: BudgetRequest, tokenizer: Tokenizer) -> None:
        """Refuse variables about thinking that the chat template does not know. Raises InvalidBudget."""
        if not request.variables:
            return
        is_rendered = request.source is PromptSource.TEMPLATE
        template = self._template(tokenizer)
        for name in request.variables if template or not is_rendered else ():
            if not is_rendered or not names_variable(template, name):
                raise InvalidBudget(
                    f"{TEMPLATE}.{name}",
                    "is no variable of the chat template, so it would have no effect; "
                    "send max_thinking_tokens, or reasoning_effort, outside of it",
                )

    def _opens_thinking(
        self, markers: ThinkingMarkers, request: BudgetRequest, tokenizer: Tokenizer, prompt: Sequence[int]
    ) -> bool:
        """Whether the model opens its thinking on its own, after a prompt that has not."""
        if request.source is PromptSource.TEMPLATE:
            template = self._template(tokenizer)
            if any(names_variable(template, name) for name in (*request.turns_on, *self.switched_on)):
                return True
        return opens_thinking(markers, tokenizer, prompt)

    def _template(self, tokenizer: Tokenizer) -> str:
        """The chat template's text; empty where it is not known."""
        return self.template or template_of(tokenizer)

    def _resolve(
        self,
        markers: ThinkingMarkers,
        request: BudgetRequest,
        generation: Generation,
        tokenizer: Tokenizer,
        phase: Phase,
        default: Fields,
        built_in: Fields,
    ) -> ResolvedBudget:
        prompt, params = generation.prompt, generation.params
        room = AnswerRoom(generation, _marker_tokens(markers, tokenizer, phase), request.reserve)
        layers = self._layers(request, phase, room, default)
        is_asked_for = bool(request.fields) or is_bounded(layers.fields)
        layers.add(self._fitted(built_in, phase, room), "default")
        budget: ThinkingBudget | None = None
        set_by: Mapping[str, str] = {}
        if is_asked_for or is_bounded(layers.fields):
            budget, set_by = layers.budget(request.cap_name)
        only_closes = budget is not None and not is_asked_for
        begins: bool | None = None
        if generation.has_grammar:
            check_grammar_start(budget, generation.grammar_start, phase)
            if generation.grammar_start is GrammarStart.OUR_MARKERS:
                opens = not is_asked_for and self._opens_thinking(markers, request, tokenizer, prompt)
                budget, begins = budget_with_grammar(budget, phase, opens_thinking=opens, only_closes=only_closes)
                set_by, only_closes = set_by if budget is not None else {}, False
        plan = plan_for(params, budget, markers, tokenizer, only_closes=only_closes)
        if plan.skips_thinking and markers.no_thinking and len(plan.no_thinking) >= generation.max_tokens:
            # The template's form would fill the reply: only keep the model from opening its thinking.
            only_closes = True
            plan = plan_for(params, budget, markers, tokenizer, only_closes=True)
        check_sampling(params, generation.stop_token_ids, plan, phase, tokenizer, self.max_end_ids)
        last = prompt[-1] if prompt else None
        asks = not only_closes or bool(generation.stop_token_ids)
        return ResolvedBudget(plan, budget, phase, last, set_by, only_closes, asks, begins, room)

    def room_for_reply(self, request: BudgetRequest, context: int, tokenizer: Tokenizer) -> int:
        """How many tokens of the context a reply needs that has no limit of its own.

        Those of the bounds that the request gives as numbers, and of an answer; other bounds yield to the context.
        """
        reserve = min(self.answer_reserve, context // 4) if request.reserve is None else request.reserve
        if self.markers is None:
            return reserve
        bounds = [request.fields.get(name) for name in (CAP, FLOOR)]
        thinking = max((bound for bound in bounds if isinstance(bound, int)), default=0)
        return thinking + _marker_tokens(self.markers, tokenizer, Phase.BEFORE) + reserve

    def _layers(self, request: BudgetRequest, phase: Phase, room: "AnswerRoom", default: Fields) -> "_LayeredFields":
        """The fields that the request or the operator sets, without regard to a grammar."""
        layers = _LayeredFields()
        layers.add(self._explicit(request, phase, room), "request")
        layers.add(self._fitted(self.defaults.effort_of(request.model, request.effort), phase, room), EFFORT)
        layers.add(self._fitted(default, phase, room), "default")
        if request.reserve is not None:
            layers.cap_at_most(room.largest_cap(self.answer_reserve), RESERVE)
        return layers

    def _explicit(self, request: BudgetRequest, phase: Phase, room: "AnswerRoom") -> Mapping[str, Any]:
        """The request's own fields, with a number in place of "auto". Refused where they cannot be enforced."""
        fields = dict(request.fields)
        room.check_reserve()
        if fields.get(CAP) == AUTO:
            fields[CAP] = room.largest_cap(self.answer_reserve)
            floor = fields.get(FLOOR, 0)
            if floor > fields[CAP]:
                raise InvalidBudget(
                    FLOOR, f"{floor} is above {request.cap_name}, which is {AUTO} and results in {fields[CAP]}"
                )
        if fields.get(CAP) == 0 and fields.get(WAITS):
            raise InvalidBudget(WAITS, f"{fields[WAITS]} need thinking: {request.cap_name} results in 0")
        if phase is Phase.ANSWER:
            for name in (FLOOR, WAITS):
                if fields.get(name):
                    raise InvalidBudget(
                        name,
                        "the prompt has closed the thinking already, so the reply cannot be made to think; "
                        "with enable_thinking: false in chat_template_kwargs, leave that out",
                    )
        for name, shown in ((FLOOR, FLOOR), (CAP, request.cap_name)):
            if isinstance(fields.get(name), int):
                room.check_bound(shown, fields[name])
        return fields

    def _fitted(self, fields: Mapping[str, Any], phase: Phase, room: "AnswerRoom") -> Mapping[str, Any]:
        """Fields that the request has not given itself, as far as they fit its length and its prompt."""
        largest = room.largest_cap(self.answer_reserve)
        fitted = dict(fields)
        if fitted.get(CAP) == AUTO:
            fitted[CAP] = largest
        for name in (CAP, FLOOR):
            if isinstance(fitted.get(name), int):
                fitted[name] = min(fitted[name], largest)
        if phase is Phase.ANSWER:
            fitted = {name: value for name, value in fitted.items() if name not in (FLOOR, WAITS)}
        return fitted


@dataclass(frozen=True, slots=True)
class AnswerRoom:
    """What the reply's length leaves for the thinking.

    Attributes:
        generation: bounds the length.
        marker_tokens: tokens around thinking that a cap closes: the markers, and what is forced with them.
        reserve: tokens that the request reserves for the answer; None where it does not.
    """

    generation: Generation
    marker_tokens: int
    reserve: int | None

    def largest_cap(self, default_reserve: int) -> int:
        """The largest cap that leaves the answer its reserve."""
        tokens, reserve = self.generation.max_tokens, self.reserve
        if reserve is None:
            reserve = min(default_reserve, max(tokens // 4, 1))
        return max(0, tokens - self.marker_tokens - reserve)

    def check_bound(self, name: str, bound: int) -> None:
        """Refuse a bound that leaves no room for the answer: its reserve if one was requested, else one token."""
        answer = 1 if self.reserve is None else self.reserve
        if bound and bound + self.marker_tokens + answer > self.generation.max_tokens:
            raise InvalidBudget(
                name,
                f"{bound} thinking tokens, {self.marker_tokens} tokens of markers around them and at least {answer} of "
                f"an answer are more than {self.generation.describe_limit()}",
            )

    def check_reserve(self) -> None:
        """Refuse a requested reserve that the reply has no room for."""
        if self.reserve is not None and self.reserve + self.marker_tokens > self.generation.max_tokens:
            raise InvalidBudget(
                RESERVE,
                f"{self.reserve} tokens of an answer and {self.marker_tokens} of markers before it are more than "
                f"{self.generation.describe_limit()}",
            )


class _LayeredFields:
    """Fields of several origins, by precedence; a field that contradicts one of higher precedence yields.

    The request's own are added first and do not contradict each other.
    """

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self._origins: dict[str, str] = {}

    def add(self, fields: Mapping[str, Any], origin: str) -> None:
        new = {name: value for name, value in fields.items() if name not in self.fields}
        merged = {**self.fields, **new}
        cap, floor = merged.get(CAP), merged.get(FLOOR, 0)
        if isinstance(cap, int) and floor > cap:
            new.update({FLOOR: cap} if FLOOR in new else {CAP: floor})
        if cap == 0 and merged.get(WAITS):
            del new[WAITS if WAITS in new else CAP]
        self.fields.update(new)
        self._origins.update(dict.fromkeys(new, origin))

    def cap_at_most(self, bound: int, origin: str) -> None:
        """Add a cap where there is none; any other has been fitted to the reserve already."""
        if self.fields.get(CAP) in (None, UNLIMITED):
            self.fields[CAP] = bound
            self._origins[CAP] = origin

    def budget(self, cap_name: str) -> tuple[ThinkingBudget, dict[str, str]]:
        """The budget, and what set each of its fields; the request's cap under the name that the request used."""
        fields = {name: value for name, value in self.fields.items() if name != CAP or value != UNLIMITED}
        origins = dict(self._origins)
        if CAP not in fields and origins.get(LANDING) not in (None, "request"):
            del fields[LANDING], origins[LANDING]
        if origins.get(CAP) == "request" and cap_name != CAP:
            origins[CAP] = cap_name
        return ThinkingBudget(**fields), origins


def _without_thinking(request: BudgetRequest, switch: str) -> BudgetRequest:
    """The request with a cap of 0, which any other cap includes. Raises InvalidBudget for a floor or waits."""
    for name in (FLOOR, WAITS):
        if request.fields.get(name):
            shown = f"{request.fields[name]} need thinking, which {switch} turns off; leave out one of the two"
            raise InvalidBudget(name, shown)
    return replace(request, fields={**request.fields, CAP: 0}, cap_name=switch)


def _takes_defaults(request: BudgetRequest, prompt: Sequence[int], phase: Phase, tokenizer: Tokenizer) -> bool:
    """Whether defaults apply: to a chat, and to a prompt that has opened the thinking."""
    if request.source is not PromptSource.CLIENT:
        return request.source is PromptSource.TEMPLATE
    return phase is not Phase.BEFORE or is_chat(tokenizer, prompt)


def _marker_tokens(markers: ThinkingMarkers, tokenizer: Tokenizer, phase: Phase) -> int:
    """How many tokens there are around thinking that a cap closes: the markers, and what is forced with them."""
    plan = compile_plan(ThinkingBudget(max_thinking_tokens=MAX_TOKENS), markers, tokenizer)
    opening = len(plan.start.ids) if phase is Phase.BEFORE else 0
    return opening + len(plan.newline) + len(plan.end.ids) + len(plan.answer_prefix)

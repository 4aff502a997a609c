"""What is known of a model's thinking without its weights."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vllm.engine.arg_utils import AsyncEngineArgs

from tenuto_decoding.actions import Force
from tenuto_decoding.automaton import ThinkingAutomaton
from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.chat_templates import render_chat
from tenuto_decoding.detection import resolve
from tenuto_decoding.errors import ThinkingError
from tenuto_decoding.markers import ThinkingMarkers, Tokenizer
from tenuto_decoding.plan import ThinkingPlan, compile_plan
from tenuto_decoding.prompt import Phase, initial_phase
from tenuto_decoding.vllm_compat import template_of, tokenizer_of
from tenuto_decoding.vllm_requests import shown_by
from tenuto_decoding.vocabulary import Vocabulary

from ..config.command_line import given_template, parse_command_line
from ..config.option_errors import usage_errors
from ..errors import StartupError

_QUESTION = "How many r are in raspberry?"
#: A cap that leaves room for any family's cap text.
_CAP = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenText:
    """A text, and the ids that are forced or recognised for it."""

    text: str
    ids: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPrompt:
    """A prompt of one user message.

    Attributes:
        variables: what the chat template was given.
        reply_begins: `before` thinking, in `thinking` (the prompt has opened it) or in the `answer` (has closed it).
    """

    variables: Mapping[str, Any]
    text: str
    ids: Sequence[int]
    reply_begins: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkerReport:
    """What `tenuto markers` prints.

    Attributes:
        evidence: sentences about what shows the markers.
        markers: all fields, named as in a file of `--thinking-markers`.
        ids: of each text that is looked for; stops that the vocabulary lacks are not.
        opened_by: who opens the thinking after `prompt`.
        prompt: with the template's defaults; None where nothing writes chats.
        off_prompt: with thinking switched off; None where there is no switch.
        forced_end: at the cap, after text that ends in no line end.
        without_thinking: forced with a cap of 0 after `prompt`.
    """

    model: str
    evidence: Sequence[str]
    markers: ThinkingMarkers
    ids: Mapping[str, Sequence[int]]
    opened_by: str
    prompt: ShownPrompt | None
    off_prompt: ShownPrompt | None
    forced_end: TokenText
    without_thinking: TokenText


def inspect_model(argv: Sequence[str]) -> MarkerReport:
    """The report for a command line of `tenuto serve`.

    Raises:
        StartupError: for options that cannot work, and where the markers are not known.
    """
    config, args = parse_command_line(argv)
    given = config.read_markers()
    with usage_errors(args):
        model_config = AsyncEngineArgs.from_cli_args(args).create_model_config()
        tokenizer = tokenizer_of(model_config)
        template = given_template(args.chat_template) or template_of(tokenizer)
    shown = {**shown_by(model_config), "name": args.model}
    variables = args.default_chat_template_kwargs or {}
    try:
        found = resolve(tokenizer, template, **shown, **given)
        markers, model = found.markers, _Model(tokenizer, template, found.markers)
        prompt = model.prompt(variables)
        return MarkerReport(
            model=args.model,
            evidence=(*found.evidence, *_given(given)),
            markers=markers,
            ids={text: model.vocabulary.encode_marker(text) for text in _texts(markers, model.vocabulary)},
            opened_by=_opened_by(markers, prompt),
            prompt=prompt,
            off_prompt=model.prompt({**variables, **dict(markers.off_switch)}) if markers.off_switch else None,
            forced_end=model.forced_end(),
            without_thinking=model.without_thinking(prompt),
        )
    except ThinkingError as error:
        raise StartupError(f"{args.model}: {error}") from error


def _given(given: Mapping[str, Any]) -> Sequence[str]:
    """A sentence about the fields that are given in addition to the family or to the two markers."""
    others = [name for name in given if name not in ("family", "start", "end")]
    return [f"given in addition: {', '.join(others)}"] if others else []


def _texts(markers: ThinkingMarkers, vocabulary: Vocabulary) -> Iterator[str]:
    """What is looked for: any text as a marker, and of the others those that are tokens."""
    yield markers.start
    yield from markers.start_spellings
    yield markers.end
    yield from markers.end_spellings
    yield from markers.also_ends
    yield from (text for text in (*markers.stops, *markers.inside) if vocabulary.single([text]))


def _opened_by(markers: ThinkingMarkers, prompt: ShownPrompt | None) -> str:
    if prompt is not None and prompt.reply_begins == Phase.THINKING.value:
        return "the prompt"
    if prompt is not None and prompt.reply_begins == Phase.ANSWER.value:
        return "nothing: the prompt has closed it"
    if markers.force_start:
        return "the budget: the model does not open it reliably"
    if markers.opens is None:
        return "the model, if it does: nothing shows that (--thinking-opens, --no-thinking-opens)"
    return "the model" if markers.opens else "a floor or waits: the model does not open it on its own"


class _Model:
    """A model without its weights: what its prompts look like, and what budgets force."""

    def __init__(self, tokenizer: Tokenizer, template: str | None, markers: ThinkingMarkers) -> None:
        self.vocabulary = Vocabulary.of(tokenizer)
        self._tokenizer, self._template, self._markers = tokenizer, template, markers
        self._counting = compile_plan(None, markers, tokenizer)

    def prompt(self, variables: Mapping[str, Any]) -> ShownPrompt | None:
        """A rendered prompt; None where nothing writes chats, or not with these variables."""
        message = {"role": "user", "content": _QUESTION}
        try:
            if self._template is None:  # in code, which may write control tokens that no text has
                ids = self._tokenizer.apply_chat_template(  # type: ignore[attr-defined]
                    [message], add_generation_prompt=True, tokenize=True, **variables
                )
                text = self._tokenizer.decode(ids)
            else:
                text = render_chat(self._tokenizer, self._template, [message], **variables)
                ids = self.vocabulary.encode(text)
        except Exception:  # of any kind: a template raises what it likes
            return None
        begins = initial_phase(self._counting, ids)
        return ShownPrompt(variables=variables, text=text, ids=ids, reply_begins=begins.value)

    def forced_end(self) -> TokenText:
        """What is forced when the cap is reached."""
        automaton = ThinkingAutomaton(self._plan(_CAP), Phase.THINKING)
        (*_, plain) = self.vocabulary.encode("a")
        for _ in range(_CAP):
            if isinstance(automaton.action(), Force):
                break
            automaton.advance(plain)
        return self._forced(automaton)

    def without_thinking(self, prompt: ShownPrompt | None) -> TokenText:
        """What is forced with a cap of 0 after the prompt."""
        return self._forced(ThinkingAutomaton.after(self._plan(0), prompt.ids if prompt else ()))

    def _plan(self, cap: int) -> ThinkingPlan:
        return compile_plan(ThinkingBudget(max_thinking_tokens=cap), self._markers, self._tokenizer)

    def _forced(self, automaton: ThinkingAutomaton) -> TokenText:
        ids = []
        while isinstance(action := automaton.action(), Force):
            ids.append(action.token)
            automaton.advance(action.token)
        return TokenText(text=self._tokenizer.decode(ids), ids=ids)

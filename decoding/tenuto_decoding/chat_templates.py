"""Prompts as a model's chat template writes them, to see how a reply begins."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .markers import Tokenizer

Value = str | int | bool

USER = "Which colour is the sky?"
THOUGHT, ANSWER = "It scatters light.", "It is blue."
_TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Looks at the sky.",
        "parameters": {"type": "object", "properties": {"at": {"type": "string", "description": "Where."}}},
    },
}

#: Values by which templates switch thinking off and on, the usual ones first.
OFF: Sequence[tuple[str, Value]] = (
    ("enable_thinking", False),
    ("thinking", False),
    ("thinking_mode", "disabled"),
    ("thinking_mode", "off"),
    ("thinking_mode", "chat"),
    ("thinking_mode", "no_think"),
    ("thinking_budget", 0),
    ("reasoning_effort", "none"),
    ("reasoning_effort", "no_think"),
    ("reasoning_effort", "minimal"),
    ("reasoning_effort", "low"),
    ("skip_reasoning", True),
)
ON: Sequence[tuple[str, Value]] = (
    ("enable_thinking", True),
    ("thinking", True),
    ("thinking_mode", "enabled"),
    ("thinking_mode", "on"),
    ("thinking_mode", "thinking"),
    ("reasoning_effort", "high"),
    ("force_reasoning", True),
)
# Words of a system message by which templates switch thinking off where they have no variable for it.
_OFF_WORDS = ("/no_think", "/nothink", "detailed thinking off")
_VARIABLE = re.compile(r"(?<![.\w'\"<|/])(\w*(?:think|reason)\w*)(?![\w'\">]|\|>)", re.IGNORECASE)
# Variables that hold a text of the template, which another value would replace.
_TEXTS = re.compile("token|tag|marker|prefix|suffix|start|end|content|prompt|text|template|str", re.IGNORECASE)


def render_chat(
    tokenizer: Tokenizer, chat_template: str | None, messages: Sequence[Mapping[str, Any]], **variables: Any
) -> str:
    """The prompt of a reply to these messages, as text.

    The tokenizer's own `apply_chat_template` renders it: Mistral's and DeepSeek's tokenizers in vLLM write chats in
    code, and the others use the sandbox of `transformers`.

    Args:
        chat_template: the template's text; None for the tokenizer's own way.
        variables: of the template, such as `enable_thinking` or `tools`.

    Raises:
        Exception: whatever the template raises, or ValueError where there is nothing to render with.
    """
    conversation = [dict(message) for message in messages]
    variables = {"add_generation_prompt": True, **variables}
    apply = getattr(tokenizer, "apply_chat_template", None)
    if apply is not None:
        if getattr(tokenizer, "IS_MISTRAL_TOKENIZER", False):  # vLLM's; it warns of rendered text
            return tokenizer.decode(apply(conversation, **variables))
        given = {"chat_template": chat_template} if chat_template else {}
        return str(apply(conversation, tokenize=False, **given, **variables))
    if not chat_template:
        raise ValueError("the tokenizer writes no chats, and no chat template is given")
    from transformers.utils.chat_template_utils import render_jinja_template  # when needed: the core needs no engine

    rendered, _ = render_jinja_template(conversations=[conversation], chat_template=chat_template, **variables)
    return str(rendered[0])


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a reply to one user message begins.

    Attributes:
        prompt: all of it.
        tail: what the template writes after the user's text: the end of that turn, and the beginning of the reply.
    """

    prompt: str
    tail: str

    @property
    def head(self) -> str:
        return self.prompt[: len(self.prompt) - len(self.tail)]


@dataclass
class ChatTemplate:
    """A model's chat template, rendered with its defaults and with what may switch thinking off or on.

    A rendering that fails is none: templates refuse values, and some tokenizers have no template.
    """

    tokenizer: Tokenizer
    text: str
    _rendered: dict[str, Beginning | None] = field(default_factory=dict, repr=False)

    def beginning(self, variables: Mapping[str, Any] | None = None, *, system: str | None = None) -> Beginning | None:
        """The beginning of a reply, given variables of the template; None where it cannot be rendered."""
        variables = variables or {}
        key = repr((system, sorted(variables.items())))
        if key not in self._rendered:
            first = [] if system is None else [{"role": "system", "content": system}]
            self._rendered[key] = None
            # Templates of models that see images take a list of parts in place of a text.
            for content in (USER, [{"type": "text", "text": USER}]):
                prompt = self.render([*first, {"role": "user", "content": content}], **variables)
                _, found, tail = prompt.rpartition(USER)
                if found:
                    self._rendered[key] = Beginning(prompt, tail)
                    break
        return self._rendered[key]

    def render(self, messages: Sequence[Mapping[str, Any]], **variables: Any) -> str:
        """The rendered text; empty where it cannot be rendered."""
        with suppress(Exception):
            return render_chat(self.tokenizer, self.text, messages, **variables)
        return ""

    @property
    def default(self) -> Beginning | None:
        return self.beginning()

    @cached_property
    def with_tool(self) -> str:
        """A prompt that offers a tool: it describes how the model is to call it."""
        return self.render([{"role": "user", "content": USER}], tools=[_TOOL])

    @cached_property
    def history(self) -> str:
        """A chat that ends with a reply that has thought, under each of the names by which templates read it."""
        reply = {"role": "assistant", "content": ANSWER, "reasoning_content": THOUGHT}
        user = {"role": "user", "content": USER}
        for extra in ({"reasoning": THOUGHT}, {"thinking": THOUGHT}, {}):
            found = self.render([user, {**reply, **extra}], add_generation_prompt=False)
            if THOUGHT in found:
                return found
        return ""

    @cached_property
    def off(self) -> Sequence[tuple[tuple[str, Value], Beginning]]:
        """Renderings with the values that may switch thinking off."""
        return tuple(self._with(OFF, extra=(False, 0)))

    @cached_property
    def on(self) -> Sequence[tuple[tuple[str, Value], Beginning]]:
        """Renderings with the values that may switch it on."""
        return tuple(self._with(ON, extra=(True,)))

    @cached_property
    def off_by_words(self) -> Sequence[Beginning]:
        """Renderings with a system message that may switch it off."""
        found = (self.beginning(system=words) for words in _OFF_WORDS)
        return tuple(each for each in found if each is not None)

    def _with(
        self, usual: Sequence[tuple[str, Value]], extra: Sequence[Value]
    ) -> Iterator[tuple[tuple[str, Value], Beginning]]:
        """Renderings with the usual values, of variables that the template names; of others that speak of thinking,
        with the values that the template compares them with."""
        named = dict.fromkeys(_VARIABLE.findall(self.text))
        known = {name for name, _ in usual}
        candidates = [(name, value) for name, value in usual if name in named or not self.text]
        for name in named:
            if name not in known and not _TEXTS.search(name):
                candidates += [(name, value) for value in extra]
            candidates += [(name, value) for value in self._literals(name)]
        for name, value in dict.fromkeys(candidates):
            found = self.beginning({name: value})
            if found is not None and found != self.default:
                yield (name, value), found

    def _literals(self, name: str) -> list[str]:
        """The texts that the template compares a variable with."""
        filters = r"(?:\s*\|\s*\w+(?:\([^)]*\))?)*\)?"
        texts = r"[\[(]?((?:\s*['\"]\w+['\"]\s*,?)+)"
        compared = re.findall(rf"\b{name}{filters}\s*(?:==|!=|in|not\s+in)\s*{texts}", self.text)
        return [text for group in compared for text in re.findall(r"\w+", group)]

"""Budget forcing in `transformers`' `generate()`, as a logits processor.

thinking = ThinkingLogitsProcessor(ThinkingBudget(max_thinking_tokens=512), tokenizer, do_sample=False)
output = model.generate(**inputs, do_sample=False, logits_processor=[thinking])
thinking.reports(output)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor

from .actions import Free
from .automaton import EndedBy, ThinkingAutomaton
from .budget import ThinkingBudget
from .detection import detect_markers
from .errors import UnsupportedEngine
from .logits import Edit, Edits, Sampling
from .markers import ThinkingMarkers
from .plan import compile_plan
from .prompt import Phase
from .vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class GenerationReport:
    """What was enforced in one sequence: its thinking tokens, the attempts to stop that were replaced, why it ended."""

    tokens: int
    waits: int
    ended_by: EndedBy


class ThinkingLogitsProcessor(LogitsProcessor):
    """Enforces a budget in one call of `generate()`; make a new one for each call.

    Greedy search and sampling are supported, over a batch that is padded on the left. `generate()` applies temperature,
    top-k, top-p and min-p after this processor, and ends a reply at every `eos_token_id` of its configuration: give the
    processor the same configuration, and the values that are given to `generate()` itself.

    Args:
        budget: for all sequences, or one for each (None for a sequence without).
        tokenizer: the model's.
        markers: detected from the tokenizer if not given.
        generation_config: the one that `generate()` uses; if not given, the one in the folder or repository that the
            tokenizer comes from.
        do_sample, temperature, top_k, top_p, min_p, eos_token_id: as given to `generate()`; None for those of the
            configuration.

    Raises:
        InvalidBudget, UnknownMarkers: when made.
        UnsupportedEngine: in a step, when sequences are reordered (beam search) or the processor is used again.
    """

    def __init__(
        self,
        budget: ThinkingBudget | Sequence[ThinkingBudget | None],
        tokenizer: Any,
        markers: ThinkingMarkers | None = None,
        *,
        generation_config: GenerationConfig | None = None,
        do_sample: bool | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        eos_token_id: int | Sequence[int] | None = None,
    ) -> None:
        markers = markers or detect_markers(tokenizer, tokenizer.chat_template)
        budgets = [budget] if isinstance(budget, ThinkingBudget) else list(budget)
        given = {
            "do_sample": do_sample,
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "min_p": min_p,
            "eos_token_id": eos_token_id,
        }
        generation_config = generation_config or _config_of(tokenizer)
        in_force = {name: _first(value, generation_config, name) for name, value in given.items()}
        ends = in_force.pop("eos_token_id")
        stop_ids = (ends,) if isinstance(ends, int) else tuple(ends)
        self._shared = isinstance(budget, ThinkingBudget)
        self._plans = [compile_plan(each, markers, tokenizer, stop_ids=stop_ids) for each in budgets]
        self._vocabulary = Vocabulary.of(tokenizer)
        self._padding = tokenizer.pad_token_id
        samples = in_force.pop("do_sample")
        self._sampling = Sampling(**in_force) if samples else Sampling(temperature=0.0)
        self._automata: list[ThinkingAutomaton] = []
        self._ids: torch.Tensor | None = None  # of the last step, to check that the sequences only grew
        self._done: list[bool] = []  # ended while thinking, without a budget: from then on they are only padded
        self._fired: dict[int, bool] = {}
        self._undecodable: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Edit the scores of the next step.

        Args:
            input_ids: shape (sequences, tokens so far), prompt included.
            scores: logits, shape (sequences, vocabulary), before the warpers.
        """
        self._follow(input_ids)
        edited = scores.float().clone()
        if self._undecodable is None:
            self._undecodable = torch.tensor(
                self._vocabulary.undecodable(scores.shape[-1]), device=scores.device
            ).long()
        edits = []
        for index, automaton in enumerate(self._automata):
            action = automaton.action()
            if automaton.plan.enforced:
                edited[index, self._undecodable] = -torch.inf
            if not isinstance(action, Free):
                edits.append(Edit(index, action, self._sampling))
        prepared = Edits(edits, edited)
        prepared.apply(edited)
        self._fired = dict(zip(prepared.redirected, prepared.fired(), strict=True))
        return edited

    def reports(self, output_ids: torch.Tensor) -> list[GenerationReport]:
        """What was enforced in each sequence, given what `generate()` returned."""
        if self._ids is not None and output_ids.shape[1] == self._ids.shape[1] + 1:
            self._follow(output_ids)
        return [GenerationReport(each.tokens, each.waits, each.ended_by) for each in self._automata]

    def _follow(self, input_ids: torch.Tensor) -> None:
        if self._ids is None:
            self._start(input_ids)
        elif input_ids.shape[1] == self._ids.shape[1] + 1 and torch.equal(input_ids[:, :-1], self._ids):
            for index, token in enumerate(input_ids[:, -1].tolist()):
                if not self._done[index]:
                    automaton = self._automata[index]
                    automaton.advance(token, self._fired.get(index, False))
                    self._done[index] = automaton.phase is Phase.THINKING and token in automaton.plan.stops
        else:
            raise UnsupportedEngine(
                "generate() changed or reordered the sequences between two steps: beam search and assisted generation "
                "are not supported, and every call of generate() needs a processor of its own"
            )
        self._ids = input_ids.clone()

    def _start(self, input_ids: torch.Tensor) -> None:
        plans = self._plans * len(input_ids) if self._shared else self._plans
        if len(plans) != len(input_ids):
            raise UnsupportedEngine(
                f"{len(plans)} budgets were given for {len(input_ids)} sequences; give one for each"
            )
        self._done = [False] * len(plans)
        for plan, ids in zip(plans, input_ids.tolist(), strict=True):
            first = next((at for at, token in enumerate(ids) if token != self._padding), 0)
            self._automata.append(ThinkingAutomaton.after(plan, ids[first:]))


#: What `generate()` takes where neither it nor the configuration has a value.
_DEFAULTS: dict[str, Any] = {
    "do_sample": False,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "min_p": 0.0,
    "eos_token_id": (),
}


def _config_of(tokenizer: Any) -> GenerationConfig | None:
    """The generation configuration that was published with the tokenizer."""
    try:
        return GenerationConfig.from_pretrained(tokenizer.name_or_path, local_files_only=True)
    except (OSError, ValueError):  # there is none, or the tokenizer has no name
        return None


def _first(value: Any, config: GenerationConfig | None, name: str) -> Any:
    """The value that is in force: given, the configuration's, or the default."""
    return next((each for each in (value, getattr(config, name, None)) if each is not None), _DEFAULTS[name])

"""Budget forcing on vLLM's V1 model runner, as a logits processor.

Offline use needs nothing else:

    LLM(model, logits_processors=[ThinkingLogitsProcessor])
    SamplingParams(extra_args={"max_thinking_tokens": 512, "num_waits": 1})

The markers come from the tokenizer and chat template, or from `additional_config={"thinking": {...}}` with the keys of
`resolve_markers`: `family`, or `start` and `end`.

On this runner, vLLM applies penalties after logits processors: a redirect sees the logits before them. `bad_words`,
`allowed_token_ids`, `min_tokens` and `logit_bias` come before: what is forced wins over them, and a redirect takes from
a source only what they have left it.

A grammar's mask comes first of all. It begins behind the thinking where the engine has a reasoning parser; with any
but ours, what is masked is taken for the grammar's doing and left masked.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, count
from typing import Any

import torch
from vllm import SamplingParams
from vllm.config import VllmConfig
from vllm.tokenizers import cached_tokenizer_from_config
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from .actions import FREE, Action, Force, Free, Redirect
from .automaton import ThinkingAutomaton
from .budget import ThinkingBudget
from .errors import UnsupportedEngine
from .logits import Edit, Edits, Sampling
from .vllm_requests import REQUEST_KEY, check_request, markers_of, masks_thinking, plan_for
from .vocabulary import Vocabulary
from .worker_messages import SequenceReport, Steer


def check_engine(config: VllmConfig) -> None:
    """Refuse, before the model is loaded, an engine on which this adapter cannot work.

    Raises:
        UnsupportedEngine: naming the option and the remedy.
    """
    if config.speculative_config is not None:
        raise UnsupportedEngine(
            "--speculative-config: vLLM's V1 model runner takes no logits processors together with speculative "
            "decoding, so budgets could not be enforced; leave it out, or use the V2 model runner"
        )


class _Row:
    """One budgeted sequence of the batch: its automaton, and how far it has followed the sequence.

    Attributes:
        action: for the next step, as of the last call of `follow`.
        output: the engine's own list of generated ids, which grows while the sequence runs; -1 stands for a token that
            is not known yet.
        seen: how many of them the automaton has taken.
        fires: positions in the output at which a redirect's sources weighed more than its target; of plain text, for
            which that means nothing, not all.
        watched: position from which on `fires` is complete; what came before was generated elsewhere.
        steers: how the sequence was steered, and where; the first `steered` of them have been carried out.
        is_over: whether nobody will ask for it once it has left the batch.
        arrived: its number among all that came: the sequences of a parallel sample come in their order.
    """

    __slots__ = (
        "action",
        "arrived",
        "automaton",
        "fires",
        "is_over",
        "output",
        "params",
        "sampling",
        "seen",
        "steered",
        "steers",
        "watched",
    )

    def __init__(
        self, automaton: ThinkingAutomaton, params: SamplingParams, output: list[int], arrived: int = 0
    ) -> None:
        self.action: Action = FREE
        self.arrived = arrived
        self.automaton = automaton
        self.params = params
        self.output = output
        self.sampling = Sampling(params.temperature, params.top_k, params.top_p, params.min_p)
        self.seen = 0
        self.watched = len(output)
        self.fires: set[int] = set()
        self.steers: list[Steer] = []
        self.steered = 0
        self.is_over = False

    def pass_over(self, seen: int) -> None:
        """Take all up to the first `seen` ids of the output; what of them is new has to be plain text."""
        if seen > self.seen:
            self.automaton.pass_over(seen - self.seen, self.output[seen - 1])
            self.seen = seen

    def follow(self) -> bool:
        """Take what came since the last step: tokens, then steers. Whether the action is another than it was.

        Their number, not the sequence's length, is the cost.
        """
        output, at = self.output, self.seen
        if at == len(output):
            self.fires.discard(at)  # of a step whose token was thrown away
        while at < len(output) and (token := output[at]) >= 0:
            self.automaton.advance(token, at in self.fires if at >= self.watched else None)
            at += 1
        self.seen = at
        if self.steered < len(self.steers):
            self._steer()
        before, self.action = self.action, self.automaton.action()
        return self.action is not before and self.action != before

    def _steer(self) -> None:
        """Carry out what was asked for since the last step; it holds for the next token."""
        while self.steered < len(self.steers):
            steer = self.steers[self.steered]
            self.automaton.steer(steer.until)
            self.fires.discard(self.seen)  # of a step whose token was thrown away
            self.steers[self.steered] = steer._replace(position=self.seen)
            self.steered += 1

    @property
    def request(self) -> object:
        """The request as the server names it."""
        return (self.params.extra_args or {}).get(REQUEST_KEY)

    def continues_as(self, arrival: "_Arrival") -> bool:
        """Whether an added request is this sequence, come back after preemption."""
        return (
            arrival.params is self.params
            and self.seen <= len(arrival.output)
            and self.output[: self.seen] == arrival.output[: self.seen]
        )


class _PlainText:
    """Rows that get one token of plain text in every step; they learn of it when something else comes.

    So a step costs a look at the newest token of each.
    """

    def __init__(self) -> None:
        self._steps = 0
        # By the row's identity: its output, how long that is less the number of steps, the last step of which it is
        # known that plain text changes nothing, and what is not plain.
        self._rows: dict[int, tuple[_Row, list[int], int, int, frozenset[int]]] = {}

    def take(self, row: _Row) -> bool:
        """Look after a row that has taken all that came so far; whether that can be done."""
        steps, left = self._steps, row.automaton.plain_left
        if left:
            self._rows[id(row)] = row, row.output, row.seen - steps, steps + left, row.automaton.notable
        return left > 0

    def step(self) -> list[_Row]:
        """Go on to what came in the next step.

        Returns:
            The rows to which something else came, which may be more tokens or none; they have taken what was before,
            and are no longer looked after.
        """
        self._steps = steps = self._steps + 1
        others = [
            row
            for row, output, before, last, notable in self._rows.values()
            if len(output) != before + steps or steps > last or (token := output[-1]) < 0 or token in notable
        ]
        for row in others:
            _, _, before, *_ = self._rows.pop(id(row))
            row.pass_over(before + steps - 1)
        return others

    def settle(self) -> None:
        """Let the rows take what they have got."""
        for row, _, before, *_ in self._rows.values():
            row.pass_over(before + self._steps)


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A budgeted request that was added to the batch: a new one, or one that comes back."""

    budget: ThinkingBudget
    params: SamplingParams
    prompt: list[int]
    output: list[int]

    @staticmethod
    def of(params: SamplingParams, prompt: list[int] | None, output: list[int]) -> "_Arrival | None":
        budget = ThinkingBudget.of_checked(params.extra_args or {})
        return None if budget is None else _Arrival(budget, params, prompt or [], output)


class ThinkingLogitsProcessor(LogitsProcessor):
    """Enforces the budgets of a persistent batch.

    `update_state` is called before every forward pass, when the newest ids may still be unknown (asynchronous
    scheduling), so the automata are advanced in `apply`, when they are. A preempted sequence leaves the batch and comes
    back: its state is kept aside meanwhile, also because only here it is known which waits were redirects.

    The engine does not tell it from one that has ended. A server says what has (`forget`); without one, the state of
    the last ones that left is kept, four times `max_num_seqs` of them.
    """

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Refuse a wrong budget when the request arrives. Raises InvalidBudget."""
        check_request(sampling_params)

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        check_engine(vllm_config)
        self._tokenizer = cached_tokenizer_from_config(vllm_config.model_config)
        self._vocabulary = Vocabulary.of(self._tokenizer)
        self._vocabulary.prepare(vllm_config.model_config.get_vocab_size())
        self._markers = markers_of(vllm_config)
        self._masks_thinking = masks_thinking(vllm_config)
        self._rows: dict[int, _Row] = {}
        self._indices: torch.Tensor | None = None  # theirs, once they were asked for
        self._has_grammars = False  # among the rows: what they rule out may change with every step
        self._arrivals = count()
        self._left: deque[_Row] = deque(maxlen=4 * vllm_config.scheduler_config.max_num_seqs)
        self._plain = _PlainText()
        self._others: list[_Row] = []  # rows that have to be followed in the next step
        self._edits: Edits | None = None  # of the last step, for as long as they hold
        self._asked: list[_Row] = []  # rows of its redirects
        self._applied: Edits | None = None  # the last step's, until it is noted what became of its redirects

    def is_argmax_invariant(self) -> bool:
        """Budgets decide tokens, greedy ones too."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow the persistent batch: sequences added, removed and moved."""
        if batch_update is None:
            return
        self._settle()
        entries: dict[int, _Row | _Arrival] = {**self._rows}
        process_dict_updates(entries, batch_update, _Arrival.of)
        # Who left can only be seen from who is still there: an index that a move fills again is not among the removed.
        staying = set(map(id, entries.values()))
        self._left.extend(row for row in self._rows.values() if id(row) not in staying and not row.is_over)
        self._rows = {
            index: self._row(entry) if isinstance(entry, _Arrival) else entry for index, entry in entries.items()
        }
        self._has_grammars = any(self._yields(row.params) for row in self._rows.values())
        self._edits = self._indices = None
        self._follow_all()

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Edit the rows of budgeted sequences; logits are float32 of shape (sequences, vocabulary)."""
        if not self._rows:
            return logits
        rows = self._others + self._plain.step()
        changes = self._follow(rows)
        self._others = [row for row in rows if not self._plain.take(row)]
        if changes or self._edits is None or self._has_grammars:
            self._edits = self._prepare(logits)
        self._mask_undecodable(logits)
        self._edits.apply(logits)
        self._applied = self._edits
        return logits

    def steer(self, request: str, number: int, until: int | None) -> int:
        """As `ThinkingWorkerExtension.thinking_steer`. Called between two steps; it is carried out in the next one."""
        rows = [row for row in self._rows.values() if row.request == request]
        if rows:
            self._settle()
            self._follow_all()
        for row in rows:
            if all(steer.number != number for steer in row.steers):
                row.steers.append(Steer(number, None, until))
        return len(rows)

    def forget(self, requests: Sequence[str]) -> None:
        """As `ThinkingWorkerExtension.thinking_forget`. What is still in the batch leaves it with the next change."""
        over = frozenset(requests)
        self._left = deque((row for row in self._left if row.request not in over), self._left.maxlen)
        for row in self._rows.values():
            row.is_over |= row.request in over

    def report(self, request: str) -> list[SequenceReport]:
        """For every sequence of a request: the ids taken so far, where a redirect fired, and how it was steered.

        In the order in which they came.

        The last redirect's position may be that of a token that was never kept.
        """
        self._settle()
        rows = [row for row in (*self._rows.values(), *self._left) if row.request == request]
        rows.sort(key=lambda row: row.arrived)
        return [SequenceReport(row.output[: row.seen], sorted(row.fires), row.steers) for row in rows]

    def _yields(self, params: SamplingParams) -> bool:
        """Whether a token that is masked may have been ruled out by a grammar, which then has the word."""
        return self._masks_thinking and params.structured_outputs is not None

    def _row(self, arrival: "_Arrival") -> _Row:
        known = [row for row in self._left if row.continues_as(arrival)]
        if known:
            # The sequences of a parallel sample share their parameters: the one that has come furthest is the one.
            row = max(known, key=lambda row: row.seen)
            self._left.remove(row)
            row.output = arrival.output
            return row
        plan = plan_for(arrival.params, arrival.budget, self._markers, self._tokenizer)
        automaton = ThinkingAutomaton.after(plan, arrival.prompt)
        return _Row(automaton, arrival.params, arrival.output, next(self._arrivals))

    def _follow_all(self) -> None:
        """Have every row followed in the next step, because other things than tokens come to some."""
        self._plain, self._others = _PlainText(), list(self._rows.values())

    def _prepare(self, logits: torch.Tensor) -> Edits:
        """The edits of this step, and of those to come in which nothing changes."""
        rows = [
            (index, row)
            for index, row in self._rows.items()
            if not isinstance(row.action, Free)
            and not (self._yields(row.params) and _is_masked(logits[index], row.action))
        ]
        edits = Edits([Edit(index, row.action, row.sampling) for index, row in rows], logits)
        self._asked = [rows[place][1] for place in edits.places]
        return edits

    def _follow(self, rows: Sequence[_Row]) -> bool:
        """Let these rows take what came; whether the action of one of them is another now."""
        if any(isinstance(row.action, Redirect) for row in rows):
            fired = set(map(id, self._fired()))
            for row in rows:
                if id(row) in fired:
                    row.fires.add(row.seen)
        changed = [row.follow() for row in rows]
        return any(changed)

    def _fired(self) -> Iterator[_Row]:
        """Rows whose redirect in the last step fired, as far as that has not been noted yet."""
        if self._applied is not None:
            yield from compress(self._asked, self._applied.fired().tolist())

    def _settle(self) -> None:
        """Let every row take the plain text that it was given, and note which of the last step's redirects fired.

        The token that they gave stands at the row's next position. Called where rows are asked for, or something but
        tokens comes to them. In all other cases it matters only for tokens that are not plain, and `_follow` sees to
        those.
        """
        self._plain.settle()
        for row in self._fired():
            row.fires.add(row.seen)
        self._applied = None

    def _mask_undecodable(self, logits: torch.Tensor) -> None:
        for ids in self._vocabulary.gaps(logits.shape[-1]):
            part = logits.narrow(1, ids.start, len(ids))  # sooner done than a slice
            if len(self._rows) == len(logits):
                part.fill_(-torch.inf)
            else:
                if self._indices is None:
                    self._indices = torch.tensor(list(self._rows), device=logits.device)
                part.index_fill_(0, self._indices, -torch.inf)


def _is_masked(row: torch.Tensor, action: Any) -> bool:
    """Whether the token that the action would bring in has been ruled out."""
    token = action.token if isinstance(action, Force) else action.target
    return token is not None and bool(torch.isneginf(row[token]))

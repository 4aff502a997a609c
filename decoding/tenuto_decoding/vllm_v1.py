"""Budget forcing on vLLM's V1 model runner, as a logits processor.

Offline use needs nothing else:

    LLM(model, logits_processors=[ThinkingLogitsProcessor])
    SamplingParams(extra_args={"max_thinking_tokens": 512, "num_waits": 1})

The markers are detected from the tokenizer and chat template, or given in `additional_config={"thinking": {...}}` with
the keys of `resolve_markers`: `family`, or `start` and `end`.

On this runner, vLLM applies penalties after logits processors: a redirect sees the logits before them. `bad_words`,
`allowed_token_ids`, `min_tokens` and `logit_bias` come before: a forced token wins over them, and a redirect takes from
a source only what they have left it.

A grammar's mask comes first of all. It begins after the thinking if the engine has a reasoning parser. With any parser
but ours, a masked token may have been ruled out by the grammar, so it stays masked.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import torch
from vllm import SamplingParams
from vllm.config import VllmConfig
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor

from .actions import FREE, Action, Force, Redirect
from .automaton import ThinkingAutomaton
from .budget import ThinkingBudget
from .errors import UnsupportedEngine
from .logits import Edit, Edits, Sampling
from .plan import compile_plan
from .vllm_compat import process_dict_updates, tokenizer_of
from .vllm_requests import REQUEST_KEY, check_request, markers_of, masks_thinking, plan_for
from .vocabulary import Vocabulary
from .worker import register
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
        redirect: the edits of the last step and this row's position in them, where its action was a redirect; while the
            sequence is out of the batch, whether that redirect fired.
        fires: positions in the output of tokens that came from a redirect which fired.
        watched: position from which on `fires` is complete; what came before was generated elsewhere.
        steers: how the sequence was steered, and where; the first `steered` of them have been carried out.
        is_forgotten: whether no report will be requested once the sequence has left the batch.
        arrived: its number among all that came: the sequences of a parallel sample come in their order.
    """

    __slots__ = (
        "action",
        "arrived",
        "automaton",
        "fires",
        "is_forgotten",
        "output",
        "params",
        "redirect",
        "sampling",
        "seen",
        "steered",
        "steers",
        "watched",
    )

    def __init__(self, automaton: ThinkingAutomaton, params: SamplingParams, output: list[int], arrived: int) -> None:
        self.action: Action = FREE
        self.arrived = arrived
        self.automaton = automaton
        self.params = params
        self.output = output
        self.sampling = Sampling(params.temperature, params.top_k, params.top_p, params.min_p)
        self.seen = 0
        self.watched = len(output)
        self.redirect: tuple[Edits, int] | bool = False
        self.fires: list[int] = []
        self.steers: list[Steer] = []
        self.steered = 0
        self.is_forgotten = False

    def follow(self) -> bool:
        """Take what came since the last step: tokens, then steers. Whether the action is another than it was.

        The cost depends on how many came, not on the length of the sequence.
        """
        output, at = self.output, self.seen
        while at < len(output) and (token := output[at]) >= 0:
            fired = self._came_from_redirect(token) if at >= self.watched else None
            if fired:
                self.fires.append(at)
            self.automaton.advance(token, fired)
            at += 1
        self.seen = at
        if self.steered < len(self.steers):
            self._steer()
        before, self.action = self.action, self.automaton.action()
        return self.action is not before and self.action != before

    def _came_from_redirect(self, token: int) -> bool:
        """Whether the token that the last step gave came from its redirect."""
        action = self.action
        return isinstance(action, Redirect) and action.target in (None, token) and self.has_fired

    @property
    def has_fired(self) -> bool:
        """Whether the last step had a redirect whose sources weighed more than its target."""
        if isinstance(self.redirect, bool):
            return self.redirect
        edits, position = self.redirect
        return edits.fired()[position]

    def leave(self) -> None:
        """The sequence has left the batch: keep what its last redirect did, not the edits, which can hold logits."""
        self.redirect = self.has_fired

    def _steer(self) -> None:
        """Carry out the steers that came since the last step, from the next token on."""
        for at in range(self.steered, len(self.steers)):
            self.automaton.steer(self.steers[at].until)
            self.steers[at] = self.steers[at]._replace(position=self.seen)
        self.steered = len(self.steers)

    @property
    def report(self) -> SequenceReport:
        """The token of the last step is not taken yet; where its redirect fired, its position is reported already."""
        fires = [*self.fires, self.seen] if self.has_fired else self.fires
        return SequenceReport(self.output[: self.seen], fires, self.steers)

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
    scheduling), so the automata are advanced in `apply`, when they are known. A preempted sequence leaves the batch and
    comes back: its state is kept meanwhile, also because only here it is known which waits were redirects.

    The engine does not distinguish a preempted sequence from one that has ended. A server says which have (`forget`);
    without a server, the state of the last `4 * max_num_seqs` that left is kept.
    """

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Refuse a wrong budget when the request arrives. Raises InvalidBudget."""
        check_request(sampling_params)

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        check_engine(vllm_config)
        self._tokenizer = tokenizer_of(vllm_config)
        self._vocabulary = Vocabulary.of(self._tokenizer)
        self._vocabulary.prepare(vllm_config.model_config.get_vocab_size())
        self._markers = markers_of(vllm_config)
        compile_plan(None, self._markers, self._tokenizer)  # the search for the markers takes a second to make
        self._masks_thinking = masks_thinking(vllm_config)
        self._rows: dict[int, _Row] = {}
        self._indices: torch.Tensor | None = None  # of the rows, where they are not the whole batch
        self._has_grammars = False  # among the rows: what grammars rule out may change with every step
        self._arrivals = count()
        self._left: deque[_Row] = deque(maxlen=4 * vllm_config.scheduler_config.max_num_seqs)
        self._edits: Edits | None = None  # of the last step, for as long as they hold
        register(self, vllm_config)

    def is_argmax_invariant(self) -> bool:
        """Budgets decide tokens, greedy ones too."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow the persistent batch: sequences added, removed and moved."""
        if batch_update is None:
            return
        entries: dict[int, _Row | _Arrival] = {**self._rows}
        process_dict_updates(entries, batch_update, _Arrival.of)
        # An index that a move fills again is not among the removed: what left is what is no longer in the batch.
        staying = set(map(id, entries.values()))
        for row in self._rows.values():
            if id(row) not in staying and not row.is_forgotten:
                row.leave()
                self._left.append(row)
        self._rows = {
            index: self._row(entry) if isinstance(entry, _Arrival) else entry for index, entry in entries.items()
        }
        self._has_grammars = any(self._yields(row.params) for row in self._rows.values())
        self._edits = self._indices = None

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Edit the rows of budgeted sequences; logits are float32 of shape (sequences, vocabulary)."""
        if not self._rows:
            return logits
        changed = [row.follow() for row in self._rows.values()]
        if self._edits is None or self._has_grammars or any(changed):
            self._edits = self._prepare(logits)
        self._mask_undecodable(logits)
        self._edits.apply(logits)
        return logits

    def steer(self, request: str, number: int, until: int | None) -> int:
        """As `ThinkingWorkerExtension.thinking_steer`. Called between two steps; it is carried out in the next one."""
        rows = [row for row in self._rows.values() if row.request == request]
        for row in rows:
            if all(steer.number != number for steer in row.steers):
                row.steers.append(Steer(number, None, until))
        return len(rows)

    def forget(self, requests: Sequence[str]) -> None:
        """As `ThinkingWorkerExtension.thinking_forget`. What is still in the batch leaves it with the next change."""
        over = frozenset(requests)
        self._left = deque((row for row in self._left if row.request not in over), self._left.maxlen)
        for row in self._rows.values():
            row.is_forgotten |= row.request in over

    def report(self, request: str) -> list[SequenceReport]:
        """For every sequence of a request: the ids taken so far, where a redirect fired, and how it was steered.

        In the order in which they came. The last redirect's position may be that of a token that was never kept.
        """
        rows = [row for row in (*self._rows.values(), *self._left) if row.request == request]
        return [row.report for row in sorted(rows, key=lambda row: row.arrived)]

    def _yields(self, params: SamplingParams) -> bool:
        """Whether a masked token may have been ruled out by a grammar, which then takes precedence."""
        return self._masks_thinking and params.structured_outputs is not None

    def _row(self, arrival: _Arrival) -> _Row:
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

    def _prepare(self, logits: torch.Tensor) -> Edits:
        """The edits of this step, and of the following ones in which nothing changes."""
        edits = Edits(
            [
                Edit(index, row.action, row.sampling)
                for index, row in self._rows.items()
                if not (self._yields(row.params) and _is_masked(logits[index], row.action))
            ],
            logits,
        )
        for row in self._rows.values():
            row.redirect = False
        for position, index in enumerate(edits.redirected):
            self._rows[index].redirect = edits, position
        return edits

    def _mask_undecodable(self, logits: torch.Tensor) -> None:
        if self._indices is None and len(self._rows) < len(logits):
            self._indices = torch.tensor(list(self._rows), device=logits.device)
        for ids in self._vocabulary.gaps(logits.shape[-1]):
            columns = logits[:, ids.start : ids.stop]
            if self._indices is None:
                columns.fill_(-torch.inf)
            else:
                columns.index_fill_(0, self._indices, -torch.inf)


def _is_masked(row: torch.Tensor, action: Action) -> bool:
    """Whether the token that the action would bring in has been ruled out."""
    match action:
        case Force(token=token) | Redirect(target=int(token)):
            return bool(torch.isneginf(row[token]))
        case _:
            return False

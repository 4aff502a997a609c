"""Budget forcing on vLLM's V2 model runner (GPUs), as a logits processor.

Offline use is as on the V1 runner: `LLM(model, logits_processors=[ThinkingLogitsProcessor])`, with this module's class.

State is on the device, by request slot. A row is a row of logits: with speculative decoding a request has one per draft
token and one after them, and the action of a row depends on the drafts before it. So the distribution with drafts is
the one without.

vLLM calls processors after penalties, logit bias, `min_tokens` and a grammar's mask, and before temperature and the
filters.
- A redirect sees penalized logits, and takes from a source only what `min_tokens` and the like have left it.
- At temperature 0, and without top-k, top-p and min-p, the distribution is exact. With one of these, vLLM filters the
  redirected row, although the filtered row should be redirected: in a step in which the model may stop, a token at the
  edge of the filter may be kept or dropped wrongly. A source is never sampled. (Exactness would need the filter's
  thresholds before vLLM has them, so a second sort of the row. The V1 runner's adapter does that.)
- vLLM does not say which rows a grammar applies to; it only masks. With our reasoning parser the grammar begins after
  the thinking. With any other, an action whose token is masked is skipped for a request with structured output, so no
  token that a grammar has masked becomes possible again.
"""

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from vllm import SamplingParams
from vllm.config import VllmConfig
from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext, LogitsProcessor, LogitsProcRequestState

from .budget import ThinkingBudget
from .errors import UnsupportedEngine
from .gpu.layout import MAX_ROWS, check_plan, mark_tokens
from .gpu.slots import BudgetSlots, Rows, Snapshot, to_host
from .plan import compile_plan
from .vllm_compat import tokenizer_of
from .vllm_requests import REQUEST_KEY, check_request, markers_of, masks_thinking, plan_for
from .vocabulary import Vocabulary
from .worker import register
from .worker_messages import SequenceReport, Steer


def check_engine(config: VllmConfig) -> None:
    """Refuse, before the model is loaded, an engine on which this adapter cannot work.

    Raises:
        UnsupportedEngine: naming the option and the remedy.
        UnknownMarkers: when it is not known how the model thinks.
    """
    drafts = config.speculative_config.num_speculative_tokens if config.speculative_config else 0
    if drafts >= MAX_ROWS:
        raise UnsupportedEngine(
            f"--speculative-config: num_speculative_tokens is {drafts}; budgets can be enforced up to {MAX_ROWS - 1}"
        )
    if config.model_config.is_diffusion:
        raise UnsupportedEngine("a diffusion model samples many tokens at once, without logits processors")
    check_plan(compile_plan(None, markers_of(config), tokenizer_of(config)))


@dataclass(frozen=True, slots=True)
class _Occupant:
    """A request with a budget in a slot.

    Attributes:
        prompt: tokens of the prompt.
        prefill: tokens with which the request entered the slot.
        numbers: the server's numbers of its steers.
        arrival: its number among all requests: the sequences of a parallel sample arrive in their order.
    """

    params: SamplingParams
    prompt: int
    prefill: int
    numbers: list[int]
    arrival: int


@dataclass(frozen=True, slots=True)
class _SequenceCopy:
    """What is known of a sequence that has or had a slot. The copies from the device may still be in progress."""

    params: SamplingParams
    prompt: int
    ids: torch.Tensor
    snapshot: Snapshot
    numbers: list[int]
    arrival: int

    @property
    def seen(self) -> int:
        return int(self.snapshot.state.occupancy.seen)

    @property
    def reply(self) -> list[int]:
        """The ids after the prompt that the automaton has taken."""
        ids: list[int] = self.ids[self.prompt : self.seen].tolist()
        return ids

    @property
    def report(self) -> SequenceReport:
        steered = zip(self.numbers, self.snapshot.steers(self.prompt), strict=True)
        steers = [Steer(number, position, until) for number, (position, until) in steered]
        return SequenceReport(self.reply, self.snapshot.fired(self.prompt), steers)

    def is_prefix_of(self, ids: list[int]) -> bool:
        """Whether these ids may be of the same sequence, later."""
        return self.seen <= len(ids) and self.ids[: self.seen].tolist() == ids[: self.seen]


class ThinkingLogitsProcessor(LogitsProcessor):
    """Enforces the budgets of the slots.

    The engine reports that a slot is filled, never that it is emptied, and a preempted request returns as a new one. So
    when a slot gets its next occupant, the last one's state is copied to the host. The copy serves the report, which is
    requested after the reply has ended, and a preempted request that returns. `forget` drops it.
    """

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Refuse an invalid budget when the request arrives.

        Raises:
            InvalidBudget: naming the field.
        """
        check_request(sampling_params)

    def __init__(self, vllm_config: VllmConfig, req_states: LogitsProcRequestState) -> None:
        check_engine(vllm_config)
        self._tokenizer = tokenizer_of(vllm_config)
        self._markers = markers_of(vllm_config)
        self._masks_thinking = masks_thinking(vllm_config)
        self._requests = req_states
        count, longest = req_states.all_token_ids.gpu.shape
        vocabulary, counting = Vocabulary.of(self._tokenizer), compile_plan(None, self._markers, self._tokenizer)
        marks = mark_tokens(
            req_states.vocab_size,
            line_ends=vocabulary.line_ends,
            landings=vocabulary.landings,
            boundaries=counting.boundaries,
            unknown=vocabulary.undecodable(req_states.vocab_size),
        )
        self._slots = BudgetSlots(count, longest, marks, req_states.device)
        self._slots.prepare(counting.table)
        self._occupants: dict[int, _Occupant] = {}
        self._has_budget = np.zeros(count, dtype=bool)
        self._lengths = np.zeros(count, dtype=np.int64)  # upper bounds, without waiting for the device
        self._arrivals = itertools.count()
        self._departed: deque[_SequenceCopy] = deque(maxlen=4 * count)
        self._returning: list[int] = []
        self._warm_up()
        register(self, vllm_config)

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """A request enters a slot; returns whether it has a budget.

        It never has vLLM's own budget too, which would win: the server clears it, and `validate_params` refuses it.
        """
        budget = ThinkingBudget.of_checked(sampling_params.extra_args or {})
        assert budget is None or sampling_params.thinking_token_budget is None, "two budgets on one request"
        last = self._copy(req_idx)
        if last is not None:
            self._departed.append(last)
        self._has_budget[req_idx] = budget is not None
        if budget is None:
            self._occupants.pop(req_idx, None)
            self._slots.occupy(req_idx, None)
            return False
        prompt, prefill = (
            int(length.np[req_idx]) for length in (self._requests.prompt_len, self._requests.prefill_len)
        )
        self._occupants[req_idx] = _Occupant(sampling_params, prompt, prefill, [], next(self._arrivals))
        self._lengths[req_idx] = prefill
        self._slots.occupy(
            req_idx,
            plan_for(sampling_params, budget, self._markers, self._tokenizer),
            sampling_params.temperature,
            structured=self._masks_thinking and sampling_params.structured_outputs is not None,
        )
        if prefill > prompt:
            self._returning.append(req_idx)
        return True

    def apply_staged_writes(self) -> None:
        """Restore the requests that returned, and send the staged changes. Called before every forward pass."""
        for slot in self._returning:
            self._restore(slot)
        self._returning.clear()
        self._slots.flush()

    def apply(self, logits: torch.Tensor, ctx: LogitsContext) -> torch.Tensor:
        """Edit the rows of requests with a budget in place; without one in the batch, nothing is launched."""
        batch = ctx.idx_mapping_np
        if not self._has_budget[batch].any():
            return logits
        self._lengths[batch] = np.maximum(self._lengths[batch], ctx.seq_lens_upper_bound_np[: len(batch)])
        self._slots.apply(logits, self._rows(ctx.expanded_idx_mapping, ctx.expanded_local_pos, ctx.input_ids))
        return logits

    def steer(self, request: str, number: int, until: int | None) -> int:
        """As `ThinkingWorkerExtension.thinking_steer`. Called between two steps; carried out in the next one."""
        slots = [slot for slot, occupant in self._occupants.items() if _request_of(occupant.params) == request]
        for slot in slots:
            numbers = self._occupants[slot].numbers
            if number not in numbers:
                self._slots.steer(slot, until)
                numbers.append(number)
        return len(slots)

    def forget(self, requests: Sequence[str]) -> None:
        """As `ThinkingWorkerExtension.thinking_forget`. A request that still runs keeps its budget."""
        over = frozenset(requests)
        kept = (copy for copy in self._departed if _request_of(copy.params) not in over)
        self._departed = deque(kept, self._departed.maxlen)
        self._occupants = {
            slot: occupant for slot, occupant in self._occupants.items() if _request_of(occupant.params) not in over
        }

    def report(self, request: str) -> list[SequenceReport]:
        """For each sequence of a request: the ids taken so far, where a redirect took effect, how it was steered.

        In the order of their arrival. The tokens of the last step are not taken yet. With drafts or asynchronous
        scheduling there may be ids that the reply lacks: tokens sampled after its end. Waits for the device.
        """
        copies = [copy for copy in self._copies() if _request_of(copy.params) == request]
        self._wait()
        begun = [copy for copy in copies if copy.snapshot.is_valid]
        return [copy.report for copy in sorted(begun, key=lambda copy: copy.arrival)]

    def _copies(self) -> Iterator[_SequenceCopy]:
        yield from self._departed
        yield from filter(None, map(self._copy, self._occupants))

    def _copy(self, slot: int) -> _SequenceCopy | None:
        """Start to copy the state of a slot's occupant to the host."""
        occupant = self._occupants.get(slot)
        if occupant is None:
            return None
        length = int(self._lengths[slot])
        snapshot = self._slots.snapshot(slot, length)
        if snapshot is None:
            return None
        ids = to_host(self._requests.all_token_ids.gpu[slot, :length])
        return _SequenceCopy(occupant.params, occupant.prompt, ids, snapshot, list(occupant.numbers), occupant.arrival)

    def _restore(self, slot: int) -> None:
        """Continue a preempted request where it was, if a copy of its state is still kept.

        Otherwise its tokens are read again, and the first token of a wait text is taken for a replaced attempt to stop.
        Siblings of a parallel sample are distinguished by their ids: among the copies that match, the longest counts.
        Waits for the device.
        """
        occupant = self._occupants[slot]
        alike = [copy for copy in self._copies() if copy.params == occupant.params and copy.prompt == occupant.prompt]
        own = to_host(self._requests.all_token_ids.gpu[slot, : occupant.prefill])
        self._wait()
        valid, ids = [copy for copy in alike if copy.snapshot.is_valid], own.tolist()
        matching = [copy for copy in valid if copy.is_prefix_of(ids)]
        if matching:
            earlier = max(matching, key=lambda copy: copy.seen)
            self._slots.restore(slot, earlier.snapshot)
        elif valid:
            earlier = valid[-1]
            self._slots.repeat_steers(slot, earlier.snapshot)
        else:
            return
        self._occupants[slot] = replace(occupant, numbers=list(earlier.numbers), arrival=earlier.arrival)

    def _wait(self) -> None:
        if self._requests.device.type != "cpu":
            torch.accelerator.synchronize(self._requests.device)

    def _rows(self, slots: torch.Tensor, positions: torch.Tensor, inputs: torch.Tensor) -> Rows:
        requests = self._requests
        # Read again at each step: vLLM replaces the buffer of `prompt_len.gpu` with every write.
        return Rows(
            slots=slots,
            positions=positions,
            inputs=inputs,
            history=requests.all_token_ids.gpu,
            prompts=requests.prompt_len.gpu,
            lengths=requests.total_len.gpu,
        )

    def _warm_up(self) -> None:
        """Compile the kernels before the first request arrives, with one row in a slot without a budget."""
        device, integers = self._requests.device, torch.zeros(1, dtype=torch.int32, device=self._requests.device)
        logits = torch.zeros(1, self._requests.vocab_size, dtype=torch.float32, device=device)
        self._slots.apply(logits, self._rows(integers.to(torch.int64), integers, integers))


def _request_of(params: SamplingParams) -> object:
    return (params.extra_args or {}).get(REQUEST_KEY)

"""Budget forcing on vLLM's V2 model runner (GPUs), as a logits processor.

Offline use as on the V1 runner: `LLM(model, logits_processors=[ThinkingLogitsProcessor])`, with the class from here.

State lies on the device, by request slot. Rows are rows of logits: under speculative decoding a request has one for
each draft token and one behind them, and what a row must do follows from the drafts before it; so the distribution with
drafts is the one without.

Where vLLM puts a processor decides what it sees: penalties, logit bias, `min_tokens` and a grammar's mask come before,
temperature and the filters after.
- A redirect sees penalised logits, and takes from a source only what `min_tokens` and the like have left it.
- At temperature 0, and without top-k, top-p and min-p, the distribution is exact. With one of these, vLLM filters the
  redirected row, where it should redirect the filtered one: in a step in which the model may stop, a token at the edge
  of what the filter keeps may be in that would be out, or out that would be in. A source is never drawn. (Exact would
  need the filter's thresholds before vLLM has them: a second sort of the row. The V1 runner's adapter does that.)
- vLLM does not say in which rows a grammar is at work, it only masks. With our reasoning parser it begins behind the
  thinking; with any other, an action whose token is masked is left out entirely for a request with structured output,
  so nothing that a grammar has masked ever comes back.
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
from .gpu.layout import MAX_ROWS, State, check_plan, mark_tokens
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
        raise UnsupportedEngine("a diffusion model writes many tokens at once, by a sampler that takes no processors")
    check_plan(compile_plan(None, markers_of(config), tokenizer_of(config)))


@dataclass(frozen=True, slots=True)
class _Occupant:
    """A budgeted request in a slot.

    Attributes:
        prompt, prefill: tokens of the prompt, and those with which it entered.
        numbers: by which the server knows its steers.
        arrived: its number among all that came: the sequences of a parallel sample come in their order.
    """

    params: SamplingParams
    prompt: int
    prefill: int
    numbers: list[int]
    arrived: int


@dataclass(frozen=True, slots=True)
class _Life:
    """What is known of a sequence that had, or has, a slot. The copies may still be under way."""

    params: SamplingParams
    prompt: int
    ids: torch.Tensor
    snapshot: Snapshot
    numbers: list[int]
    arrived: int

    @property
    def seen(self) -> int:
        return self.snapshot[State.SEEN]

    @property
    def reply(self) -> list[int]:
        """The ids behind the prompt that the automaton has taken."""
        ids: list[int] = self.ids[self.prompt : self.seen].tolist()
        return ids

    @property
    def report(self) -> SequenceReport:
        steered = zip(self.numbers, self.snapshot.steered(self.prompt), strict=True)
        steers = [Steer(number, position, until) for number, (position, until) in steered]
        return SequenceReport(self.reply, self.snapshot.fired(self.prompt), steers)

    def is_earlier_than(self, ids: list[int]) -> bool:
        """Whether the sequence may have gone on as these ids."""
        return self.seen <= len(ids) and self.ids[: self.seen].tolist() == ids[: self.seen]


class ThinkingLogitsProcessor(LogitsProcessor):
    """Enforces the budgets of the slots.

    The engine says that a slot is filled, never that it is emptied, and brings a preempted request back as a new one.
    So what the last occupant left is kept aside, on its way to the host, when the next one comes: for the report that
    is asked for when a reply has ended, and for a request that comes back; but not of one that a server says is over.
    """

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Refuse a wrong budget when the request arrives. Raises InvalidBudget."""
        check_request(sampling_params)

    def __init__(self, vllm_config: VllmConfig, req_states: LogitsProcRequestState) -> None:
        check_engine(vllm_config)
        self._tokenizer = tokenizer_of(vllm_config)
        self._markers = markers_of(vllm_config)
        self._masks_thinking = masks_thinking(vllm_config)
        self._requests = req_states
        count, longest = req_states.all_token_ids.gpu.shape
        vocabulary = Vocabulary.of(self._tokenizer)
        marks = mark_tokens(
            req_states.vocab_size,
            line_ends=vocabulary.line_ends,
            landings=vocabulary.landings,
            boundaries=vocabulary.special,
            unknown=vocabulary.undecodable(req_states.vocab_size),
        )
        self._slots = BudgetSlots(count, longest, marks, req_states.device)
        self._occupants: dict[int, _Occupant] = {}
        self._is_ours = np.zeros(count, dtype=bool)
        self._bounds = np.zeros(count, dtype=np.int64)  # of the sequences' lengths
        self._arrivals = itertools.count()
        self._left: deque[_Life] = deque(maxlen=4 * count)
        self._returning: list[int] = []
        self._warm_up()
        register(self, vllm_config)

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """A request enters a slot; says whether it has a budget.

        vLLM's own budget has been cleared or refused on the way in (`validate_params`): it would win.
        """
        budget = ThinkingBudget.of_checked(sampling_params.extra_args or {})
        assert budget is None or sampling_params.thinking_token_budget is None, "two budgets on one request"
        last = self._life(req_idx)
        if last is not None:
            self._left.append(last)
        self._is_ours[req_idx] = budget is not None
        if budget is None:
            self._occupants.pop(req_idx, None)
            self._slots.occupy(req_idx, None)
            return False
        prompt, prefill = (
            int(length.np[req_idx]) for length in (self._requests.prompt_len, self._requests.prefill_len)
        )
        self._occupants[req_idx] = _Occupant(sampling_params, prompt, prefill, [], next(self._arrivals))
        self._bounds[req_idx] = prefill
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
        """Bring back who returned, and send what was staged. Called before every forward pass."""
        for slot in self._returning:
            self._bring_back(slot)
        self._returning.clear()
        self._slots.flush()

    def apply(self, logits: torch.Tensor, ctx: LogitsContext) -> torch.Tensor:
        """Edit the rows of budgeted requests in place; without one in the batch, nothing is launched."""
        batch = ctx.idx_mapping_np
        if not self._is_ours[batch].any():
            return logits
        self._bounds[batch] = np.maximum(self._bounds[batch], ctx.seq_lens_upper_bound_np[: len(batch)])
        self._slots.apply(logits, self._rows(ctx.expanded_idx_mapping, ctx.expanded_local_pos, ctx.input_ids))
        return logits

    def steer(self, request: str, number: int, until: int | None) -> int:
        """As `ThinkingWorkerExtension.thinking_steer`. Called between two steps; it is carried out in the next one."""
        slots = [slot for slot, occupant in self._occupants.items() if _key(occupant.params) == request]
        for slot in slots:
            numbers = self._occupants[slot].numbers
            if number not in numbers:
                self._slots.steer(slot, until)
                numbers.append(number)
        return len(slots)

    def forget(self, requests: Sequence[str]) -> None:
        """As `ThinkingWorkerExtension.thinking_forget`. A slot whose request is still running goes on as it was."""
        over = frozenset(requests)
        self._left = deque((life for life in self._left if _key(life.params) not in over), self._left.maxlen)
        self._occupants = {
            slot: occupant for slot, occupant in self._occupants.items() if _key(occupant.params) not in over
        }

    def report(self, request: str) -> list[SequenceReport]:
        """For every sequence of a request: the ids taken so far, where a redirect took effect, how it was steered.

        In the order in which they came.

        The tokens of the last step are not taken yet. With drafts or asynchronous scheduling there may be ids that the
        reply does not have: what was sampled behind its end. Waits for the device.
        """
        return [life.report for life in sorted(self._begun(request), key=lambda life: life.arrived)]

    def _begun(self, request: str) -> list[_Life]:
        lives = [life for life in self._lives() if _key(life.params) == request]
        self._wait()
        return [life for life in lives if life.snapshot.has_begun]

    def _lives(self) -> Iterator[_Life]:
        yield from self._left
        yield from filter(None, map(self._life, self._occupants))

    def _life(self, slot: int) -> _Life | None:
        """What the device knows of a slot's occupant, on its way to the host."""
        occupant = self._occupants.get(slot)
        if occupant is None:
            return None
        length = int(self._bounds[slot])
        snapshot = self._slots.snapshot(slot, length)
        if snapshot is None:
            return None
        ids = to_host(self._requests.all_token_ids.gpu[slot, :length])
        return _Life(occupant.params, occupant.prompt, ids, snapshot, list(occupant.numbers), occupant.arrived)

    def _bring_back(self, slot: int) -> None:
        """Let a request that was preempted go on where it was, if its earlier life is still known.

        Otherwise its tokens are read again, and the first token of a wait text is taken for a replaced attempt to end.
        Siblings of a parallel sample are told apart by their ids: of those that fit, the one that came furthest. Waits
        for the device.
        """
        occupant = self._occupants[slot]
        alike = [life for life in self._lives() if life.params == occupant.params and life.prompt == occupant.prompt]
        own = to_host(self._requests.all_token_ids.gpu[slot, : occupant.prefill])
        self._wait()
        lives, ids = [life for life in alike if life.snapshot.has_begun], own.tolist()
        earlier = [life for life in lives if life.is_earlier_than(ids)]
        if earlier:
            life = max(earlier, key=lambda life: life.seen)
            self._slots.restore(slot, life.snapshot)
        elif lives:
            life = lives[-1]
            self._slots.steer_again(slot, life.snapshot)
        else:
            return
        self._occupants[slot] = replace(occupant, numbers=list(life.numbers), arrived=life.arrived)

    def _wait(self) -> None:
        if self._requests.device.type != "cpu":
            torch.accelerator.synchronize(self._requests.device)

    def _rows(self, slots: torch.Tensor, places: torch.Tensor, inputs: torch.Tensor) -> Rows:
        requests = self._requests
        # vLLM changes the buffer behind `prompt_len.gpu` with every write: it must be asked for anew.
        return Rows(
            slots=slots,
            places=places,
            inputs=inputs,
            history=requests.all_token_ids.gpu,
            prompts=requests.prompt_len.gpu,
            lengths=requests.total_len.gpu,
        )

    def _warm_up(self) -> None:
        """Have the kernels compiled before the first request: one row, in a slot without a budget."""
        device, integers = self._requests.device, torch.zeros(1, dtype=torch.int32, device=self._requests.device)
        logits = torch.zeros(1, self._requests.vocab_size, dtype=torch.float32, device=device)
        self._slots.apply(logits, self._rows(integers.to(torch.int64), integers, integers))


def _key(params: SamplingParams) -> object:
    return (params.extra_args or {}).get(REQUEST_KEY)

"""The measured steps: requests that stay in one state."""

from dataclasses import dataclass, replace

import torch

from tenuto_decoding import Marker, ThinkingPlan
from tenuto_decoding.gpu.layout import DevicePhase, ScriptKind, mark_tokens
from tenuto_decoding.gpu.slots import BudgetSlots, Rows

from .timing import Repetitions

OPEN, CLOSE, EOS, WORD, WAIT = 1, 2, 3, 4, 5
#: Tokens that a step commits, by its number of drafts: one of three drafts is accepted, and one token is sampled.
COMMITTED = {0: 1, 3: 2}
ENDLESS = 2**20
STATES = {
    "idle": (DevicePhase.ANSWER, ScriptKind.NONE),
    "redirect": (DevicePhase.THINKING, ScriptKind.NONE),
    "watch": (DevicePhase.THINKING, ScriptKind.NONE),
    "force": (DevicePhase.THINKING, ScriptKind.CLOSING),
    "suppress": (DevicePhase.THINKING, ScriptKind.NONE),
}


@dataclass(frozen=True)
class Scale:
    """The sizes to measure, in all combinations, and how often.

    Attributes:
        vocabulary: width of the logits.
        unknown: how many of the last ids have no token.
        histories: tokens of each request when the first step is measured.
    """

    vocabulary: int
    unknown: int
    batches: tuple[int, ...]
    histories: tuple[int, ...]
    drafts: tuple[int, ...]
    repetitions: Repetitions

    @property
    def slack(self) -> int:
        """Most tokens that are committed while a step is measured."""
        return max(COMMITTED.values()) * self.repetitions.most

    @property
    def row_counts(self) -> list[int]:
        return sorted({batch * (1 + drafts) for batch in self.batches for drafts in self.drafts})


#: Qwen2.5's vocabulary.
FULL = Scale(152_064, 399, (1, 64, 256, 1024), (1024, 8192, 32_768), (0, 3), Repetitions(20, 5, 25))
TINY = Scale(512, 3, (2,), (4, 12), (0, 3), Repetitions(1, 0, 2))


def plan_for(state: str, scale: Scale) -> ThinkingPlan:
    """A plan under which requests stay in the state.

    - idle: in the answer.
    - redirect: thinking, and an attempt to stop would become a wait.
    - watch: as redirect, with `loop_tokens`; the text repeats itself, but not long enough.
    - force: in a cap text that does not end.
    - suppress: as redirect, without a wait text, so the likeliest other token is searched for in whole rows.
    """
    think = ThinkingPlan(start=Marker.of_ids((OPEN,)), end=Marker.of_ids((CLOSE,)), stops=(EOS,))
    waiting = replace(think, max_thinking_tokens=ENDLESS, num_waits=1, waits=((WAIT,),))
    cap_text = (WORD,) * (max(scale.histories) + scale.slack + 8)
    return {
        "idle": replace(think, max_thinking_tokens=64),
        "redirect": waiting,
        "watch": replace(waiting, loop_tokens=ENDLESS),
        "force": replace(think, max_thinking_tokens=len(cap_text), cap_text=cap_text),
        "suppress": replace(think, min_thinking_tokens=ENDLESS, waits=((),)),
    }[state]


class Requests:
    """A batch of requests in one state, with a history."""

    def __init__(self, state: str, batch: int, drafts: int, history: int, scale: Scale, device: torch.device) -> None:
        self._state, self._device, self._committed = state, device, COMMITTED[drafts]
        self._longest = history + scale.slack + 8
        unknown = range(scale.vocabulary - scale.unknown, scale.vocabulary)
        self._slots = BudgetSlots(batch, self._longest, mark_tokens(scale.vocabulary, unknown=unknown), device)
        plan = plan_for(state, scale)
        for slot in range(batch):
            self._slots.occupy(slot, plan, temperature=0.6)
        self._slots.flush()
        # As in vLLM: in the host's memory, which the device reads through the bus.
        tokens = torch.full((batch, self._longest), WORD, dtype=torch.int32, pin_memory=device.type == "cuda")
        tokens[:, 0] = CLOSE if state == "idle" else OPEN
        row = torch.arange(batch * (1 + drafts), device=device)
        self._lengths = torch.full((batch,), history, dtype=torch.int32, device=device)
        self._spare = self._lengths.clone()
        self._rows = Rows(
            slots=row // (1 + drafts),
            positions=(row % (1 + drafts)).to(torch.int32),
            inputs=torch.full_like(row, WORD, dtype=torch.int32),
            history=tokens,
            prompts=torch.ones(batch, dtype=torch.int32, device=device),
            lengths=self._lengths,
        )
        self._logits = torch.randn(len(row), scale.vocabulary, device=device)
        self.commit()
        self.apply()  # compiles the kernels, and takes the history

    def apply(self) -> None:
        """Launch what the adapter launches in a step."""
        self._slots.apply(self._logits, self._rows)

    def step(self) -> None:
        """Commit some tokens, and edit the rows."""
        self._lengths += self._committed
        self.apply()

    def commit(self) -> None:
        """The work of `step` that is not the adapter's."""
        self._spare += self._committed

    def check(self) -> None:
        """Check that every token was taken and the requests are in their state.

        Raises:
            RuntimeError: naming what differs.
        """
        snapshot, length = self._slots.snapshot(0, self._longest), int(self._lengths[0])
        assert snapshot
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        state = snapshot.state
        found = state.progress.phase, state.script.kind, state.occupancy.seen
        if found != (*STATES[self._state], length):
            raise RuntimeError(f"{self._state}: phase, script and tokens are {found}; this is not the state to measure")


class Copy:
    """The copy to float32 that vLLM makes of the logits of every batch with a processor, for comparison."""

    def __init__(self, rows: int, scale: Scale, device: torch.device) -> None:
        self._logits = torch.zeros(rows, scale.vocabulary, dtype=torch.bfloat16, device=device)
        self._copied = torch.empty_like(self._logits, dtype=torch.float32)
        self.step()

    def step(self) -> None:
        self._copied.copy_(self._logits)

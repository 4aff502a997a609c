"""A simulated persistent batch, with a reference automaton for every request.

The batch is vLLM's own bookkeeping (`BatchUpdateBuilder`), driven as its `InputBatch` drives it: requests are removed,
added into the freed places, condensed, swapped, preempted and brought back, with asynchronous placeholders among their
tokens and with samples that are thrown away.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdateBuilder, MoveDirectionality

from tenuto_decoding import FAMILIES, ThinkingAutomaton, ThinkingBudget, compile_plan
from tenuto_decoding.logits import Edit, Edits, Sampling
from tenuto_decoding.vllm_requests import REQUEST_KEY
from tenuto_decoding.vllm_v1 import ThinkingLogitsProcessor
from tenuto_decoding.worker_messages import Steer

ROWS = 300  # of the logits: a few more than the tokenizer has tokens
PLACES = 6
NOT_YET = -1


@dataclass(eq=False)
class Request:
    """A request as the engine keeps it, and its reference."""

    params: SamplingParams
    prompt: list[int]
    automaton: ThinkingAutomaton | None
    output: list[int] = field(default_factory=list)  # the list that the processor was handed
    tokens: list[int] = field(default_factory=list)  # the truth
    steers: list[Steer] = field(default_factory=list)
    pending: list[Steer] = field(default_factory=list)  # to be carried out in the next step

    @property
    def name(self) -> str:
        return str((self.params.extra_args or {}).get(REQUEST_KEY))


class Batch:
    """The persistent batch: places, and the bookkeeping of what changes between steps."""

    def __init__(self, processor: ThinkingLogitsProcessor, tokenizer: Any, chance: random.Random) -> None:
        self.processor, self.tokenizer, self.chance = processor, tokenizer, chance
        self.places: list[Request | None] = []
        self.waiting: list[Request] = []
        self.finished: list[Request] = []
        self.builder = BatchUpdateBuilder()
        self.made = self.steers = 0

    def new(self) -> Request:
        chance = self.chance
        self.made += 1
        fields: dict[str, Any] = {REQUEST_KEY: f"request {self.made}"}
        if chance.random() < 0.75:
            fields |= {
                "max_thinking_tokens": chance.choice([None, 0, 3, 8]),
                "min_thinking_tokens": chance.choice([0, 0, 3]),
                "num_waits": chance.choice([0, 1, 3]),
                "wait_text": chance.choice(["Wait", "Wait, no", ["Hmm", ""]]),
            }
            if fields["max_thinking_tokens"] == 0:
                fields["min_thinking_tokens"] = 0
        params = SamplingParams(
            temperature=chance.choice([0.0, 1.0]), top_k=chance.choice([0, 4]), max_tokens=99, extra_args=fields
        )
        prompt = self.tokenizer.encode(chance.choice(["a<|im_end|>", "a<|im_start|>think", "a<|im_start|>think\nb"]))
        budget = ThinkingBudget.from_mapping(fields)
        if budget is None:
            return Request(params, prompt, None)
        plan = compile_plan(budget, FAMILIES["s1"], self.tokenizer)
        return Request(params, prompt, ThinkingAutomaton.after(plan, prompt))

    def running(self) -> Iterator[tuple[int, Request]]:
        return ((place, request) for place, request in enumerate(self.places) if request is not None)

    def change(self) -> None:
        """What a scheduler may do between two steps."""
        chance = self.chance
        for place, request in list(self.running()):
            fate = chance.random()
            if fate < 0.12:
                self.places[place] = None
                self.builder.removed_append(place)
                (self.waiting if fate < 0.06 else self.finished).append(request)
        arrivals = [self.waiting.pop() for _ in range(len(self.waiting)) if chance.random() < 0.5]
        while chance.random() < 0.5:
            arrivals.append(self.new())
        for request in arrivals:
            self.add(request)
        self.condense()
        if len(self.places) > 1 and chance.random() < 0.2:
            a, b = chance.sample(range(len(self.places)), 2)
            self.places[a], self.places[b] = self.places[b], self.places[a]
            self.builder.moved.append((a, b, MoveDirectionality.SWAP))
        self.processor.update_state(self.builder.get_and_reset(len(self.places)))
        self.processor.forget([request.name for request in self.finished[: -2 * PLACES]])

    def steer(self) -> None:
        """What a server may ask for between two steps, before or after the batch has changed."""
        for _, request in self.running():
            if self.chance.random() < 0.03:
                self.steers += 1
                steer = Steer(self.steers, None, self.chance.choice([None, 0, 2, 5, 12]))
                for _ in range(2):  # a second time it changes nothing
                    there = self.processor.steer(request.name, steer.number, steer.until)
                    assert there == (request.automaton is not None)
                request.pending.append(steer)

    def add(self, request: Request) -> None:
        free = self.builder.pop_removed()
        if free is None:
            if len(self.places) == PLACES:
                self.waiting.append(request)
                return
            free = len(self.places)
            self.places.append(None)
        self.places[free] = request
        request.output = list(request.tokens)  # a request that comes back has a new list
        self.builder.added.append((free, request.params, request.prompt, request.output))

    def condense(self) -> None:
        """Fill what stayed empty with the last rows, as `InputBatch.condense` does."""
        while None in self.places:
            empty = self.places.index(None)
            last = len(self.places) - 1
            while last >= 0 and self.places[last] is None:
                self.places.pop()
                last -= 1
            if last < 0 or empty >= last:
                break
            self.places[empty], self.places[last] = self.places[last], None
            self.builder.pop_removed()
            self.builder.moved.append((last, empty, MoveDirectionality.UNIDIRECTIONAL))
        while self.places and self.places[-1] is None:
            self.places.pop()

    def step(self) -> None:
        """One forward pass: edits compared, a token drawn for every row except those still in their prefill."""
        if not self.places:
            return
        generator = torch.Generator().manual_seed(self.chance.getrandbits(32))
        logits = torch.randn(len(self.places), ROWS, generator=generator)
        for place, request in self.running():
            if request.automaton is not None and self.chance.random() < 0.4:  # the model wants to stop
                logits[place, list(request.automaton.plan.stops)] += 8.0
        expected, fired = self.reference(logits)
        edited = self.processor.apply(logits.clone())
        assert torch.equal(edited, expected)
        for place, request in self.running():
            if self.chance.random() < 0.1:
                continue  # chunked prefill: this sample is thrown away
            token = int(edited[place].argmax())
            if request.automaton is not None:
                request.automaton.advance(token, fired.get(place, False))
            request.tokens.append(token)
            request.output.append(NOT_YET)

    def reveal(self) -> None:
        """The tokens of the last step become known, which is after `update_state` and before `apply`."""
        for _, request in self.running():
            request.output[:] = request.tokens[: len(request.output)]

    def reference(self, logits: torch.Tensor) -> tuple[torch.Tensor, dict[int, bool]]:
        expected, fired = logits.clone(), dict[int, bool]()
        for place, request in self.running():
            if request.automaton is None:
                continue
            for steer in request.pending:
                request.automaton.steer(steer.until)
                request.steers.append(steer._replace(position=len(request.tokens)))
            request.pending.clear()
            expected[place, len(self.tokenizer) :] = -torch.inf
            params = request.params
            sampling = Sampling(params.temperature, params.top_k, params.top_p, params.min_p)
            edits = Edits([Edit(place, request.automaton.action(), sampling)], logits)
            edits.apply(expected)
            fired |= dict(zip(edits.redirected, edits.fired(), strict=True))
        return expected, fired


def replayed(request: Request, fires: list[int], steers: list[Steer]) -> tuple[Any, ...]:
    """The result of following the tokens with a report, which is all that a server has."""
    assert request.automaton is not None
    automaton = ThinkingAutomaton.after(request.automaton.plan, request.prompt)
    for place in range(len(request.tokens) + 1):
        for steer in steers:
            if steer.position == place:
                automaton.steer(steer.until)
        if place < len(request.tokens):
            automaton.advance(request.tokens[place], place in fires)
    return account(automaton)


def account(automaton: ThinkingAutomaton) -> tuple[Any, ...]:
    bounds = automaton.max_thinking_tokens, automaton.min_thinking_tokens
    return automaton.phase, automaton.tokens, automaton.waits, automaton.ended_by, *bounds

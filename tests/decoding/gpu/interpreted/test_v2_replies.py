"""On vLLM's V2 model runner one pass gives what s1's stop-append-resume gives, for random cases of all families.

`plain` has a cache so small that requests are preempted; `drafts` has speculative decoding by n-grams and asynchronous
scheduling, as on GPUs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from vllm import SamplingParams
from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext

from tenuto_decoding import ThinkingAutomaton, ThinkingBudget, compile_plan
from tenuto_decoding.gpu.slots import BudgetSlots, Snapshot
from tenuto_decoding.vllm_requests import REQUEST_KEY
from tenuto_decoding.vllm_v2 import ThinkingLogitsProcessor
from tenuto_decoding.worker_messages import SequenceReport
from tenuto_testing.cases import Case, draw_cases, families
from tenuto_testing.comparison import is_tie
from tenuto_testing.engines import Engine, in_process_engines
from tenuto_testing.random_model import Ids, save_small
from tenuto_testing.reference import carry_out

SEED, LIMIT = 11, 60
#: Cases of each family, in the short and the long form. The interpreter takes as long for a draft as for a token.
CASES = {"plain": (4, 4), "drafts": (1, 2)}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {"num_gpu_blocks_override": 25, "block_size": 32, "max_model_len": 192},
    "drafts": {
        "asynchronous": True,
        "speculative_config": {
            "method": "ngram",
            "num_speculative_tokens": 3,
            "prompt_lookup_max": 3,
            "prompt_lookup_min": 1,
        },
    },
}


@dataclass
class Run:
    """What the V2 runner made of some cases, and what happened meanwhile.

    Attributes:
        rows: rows of logits that are not a draft's.
        drafts: rows of drafts.
        restored: preempted requests that continued from a snapshot.
    """

    replies: list[Ids] = field(default_factory=list)
    reports: list[SequenceReport] = field(default_factory=list)
    rows: int = 0
    drafts: int = 0
    restored: int = 0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small(tmp_path_factory.mktemp("small"))


@contextmanager
def v1_engine(model: Path) -> Iterator[Engine]:
    """An engine without a processor, on the V1 runner. No other may run meanwhile: the variable is the process's."""
    with pytest.MonkeyPatch.context() as patch, in_process_engines() as engines:
        patch.setenv("VLLM_USE_V2_MODEL_RUNNER", "0")
        yield engines.start(model, processor=None)


@pytest.mark.parametrize("how", ["drafts", "plain"])
def test_one_pass_gives_what_stop_append_resume_gives(how: str, model: Path, is_long: bool) -> None:
    """At temperature 0, token for token; at most one case may differ, where two tokens are equally likely."""
    named = named_cases(CASES[how][is_long])
    procedures = [case.procedure() for _, case in named]
    with v1_engine(model) as v1:
        carry_out(v1.llm, procedures)
        tokenizer = v1.llm.get_tokenizer()
    run = run_on_v2(how, model, named)

    different = []
    for (name, case), procedure, ids, report in zip(named, procedures, run.replies, run.reports, strict=True):
        if ids != tuple(procedure.text):
            different.append((name, case, ids, tuple(procedure.text)))
            continue
        outcome = recount(tokenizer, case, ids, report)
        assert outcome == (procedure.count, procedure.waits, procedure.ended), (name, case)
    assert len(different) <= 1, different
    if different:
        ((name, case, ids, expected),) = different
        with v1_engine(model) as v1:
            assert is_tie(v1, case.prompt, ids, expected), (name, case)
    if how == "plain":
        assert run.restored >= 3
    else:
        assert run.drafts > 10 * len(named)
        assert run.rows < sum(map(len, run.replies))  # some drafts were accepted


def named_cases(count: int) -> list[tuple[str, Case]]:
    """That many cases of every family, with the names under which their reports are requested."""
    drawn = [case for family in families().values() for case in draw_cases(family, count, SEED)]
    short = [replace(case, limit=min(case.limit, LIMIT)) for case in drawn]
    return [(f"{case.family.name} {number}", case) for number, case in enumerate(short)]


def run_on_v2(how: str, model: Path, named: list[tuple[str, Case]]) -> Run:
    """The cases in one pass, in one batch."""
    run, restore = Run(), BudgetSlots.restore

    def counted(self: BudgetSlots, slot: int, snapshot: Snapshot) -> None:
        run.restored += 1
        restore(self, slot, snapshot)

    class FamiliesProcessor(ThinkingLogitsProcessor):
        """Takes the markers from the request's family, and counts rows."""

        def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
            family = str((sampling_params.extra_args or {})[REQUEST_KEY]).rpartition(" ")[0]
            self._markers = families()[family].markers
            return super().add_request(req_idx, sampling_params)

        def apply(self, logits: Any, ctx: LogitsContext) -> Any:
            run.rows += len(ctx.idx_mapping_np)
            run.drafts += int((ctx.expanded_local_pos > 0).sum())
            return super().apply(logits, ctx)

    markers = named[0][1].family.markers
    settings = {"additional_config": {"thinking": {"start": markers.start, "end": markers.end}}, **SETTINGS[how]}
    parameters = [
        SamplingParams(
            temperature=0, max_tokens=case.limit, detokenize=False, extra_args={**case.fields, REQUEST_KEY: name}
        )
        for name, case in named
    ]
    with pytest.MonkeyPatch.context() as patch, in_process_engines() as engines:
        patch.setattr(BudgetSlots, "restore", counted)
        engine = engines.start(model, processor=FamiliesProcessor, **settings)
        run.replies = engine.ids([case.prompt for _, case in named], parameters)
        (processor,) = engine.llm.collective_rpc(processor_of)
        run.reports = [max(processor.report(name), key=lambda report: len(report.ids)) for name, _ in named]
    return run


def processor_of(worker: Any) -> ThinkingLogitsProcessor:
    processors = worker.model_runner.sampler.logits_processors
    return next(each for each in processors if isinstance(each, ThinkingLogitsProcessor))


def recount(tokenizer: Any, case: Case, ids: Ids, report: SequenceReport) -> tuple[int, int, str]:
    """Thinking tokens, waits and end of a reply, followed with its report."""
    size = min(len(report.ids), len(ids))
    assert tuple(report.ids[:size]) == ids[:size]
    assert size >= len(ids) - 4  # the tokens of the last step are not taken
    plan = compile_plan(ThinkingBudget.from_mapping(case.fields), case.family.markers, tokenizer)
    automaton = ThinkingAutomaton.after(plan, case.prompt)
    for position, token in enumerate(ids):
        automaton.advance(token, position in report.fires)
    return automaton.tokens, automaton.waits, automaton.ended_by

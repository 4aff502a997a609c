"""Which of the workers' reports belongs to which choice, and what the engine is given of a budget."""

import pytest
from vllm.sampling_params import SamplingParams

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.steering import SequenceReport
from tenuto_decoding.vllm_v1 import REQUEST_KEY
from tenuto_server.engine import redirects_of, with_budget


@pytest.mark.parametrize(
    ("sequences", "fired"),
    [
        ([SequenceReport([1, 2, 3, 4], [1], [])], [1]),
        ([SequenceReport([1, 2, 3], [1], [])], [1]),  # a step behind the reply
        ([SequenceReport([1, 2, 3, 4, 9, 9], [1], [])], [1]),  # sampled further than was kept
        # Parallel samples: the other one differs, or has hardly begun.
        ([SequenceReport([1, 2, 9, 4], [0], []), SequenceReport([1, 2, 3], [2], [])], [2]),
        ([SequenceReport([], [], []), SequenceReport([1, 2, 3, 4], [3], [])], [3]),
        ([SequenceReport([7, 2, 3, 4], [0], [])], None),
        ([], None),
    ],
)
def test_a_choice_finds_its_report_by_its_ids(sequences: list[SequenceReport], fired: list[int] | None) -> None:
    assert redirects_of([1, 2, 3, 4], sequences) == fired


def test_the_engine_gets_our_budget_and_never_vllms_own() -> None:
    asked = SamplingParams(thinking_token_budget=9, extra_args={"max_thinking_tokens": 50, "kv_transfer_params": {}})
    given = with_budget(asked, ThinkingBudget(max_thinking_tokens=5), "key")
    assert given.thinking_token_budget is None
    assert given.extra_args is not None
    assert ThinkingBudget.from_mapping(given.extra_args) == ThinkingBudget(max_thinking_tokens=5)
    assert given.extra_args[REQUEST_KEY] == "key"
    assert given.extra_args["kv_transfer_params"] == {}
    assert asked.extra_args == {"max_thinking_tokens": 50, "kv_transfer_params": {}}, "the caller's are its own"


def test_without_a_budget_the_engine_gets_nothing_of_ours() -> None:
    assert with_budget(SamplingParams(), None, "key").extra_args is None

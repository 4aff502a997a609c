"""What the engine is given of a budget."""

from vllm.sampling_params import SamplingParams

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.vllm_v1 import REQUEST_KEY
from tenuto_server.engine import with_budget


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

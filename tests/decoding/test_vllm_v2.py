"""The adapter for vLLM's V2 model runner: vLLM's own loader accepts it, and all that it relies on is as it was.

Tests on the runner itself are in `gpu/interpreted`.
"""

import ast
import inspect
import textwrap
from types import SimpleNamespace
from typing import Any

import pytest
from vllm import SamplingParams
from vllm.exceptions import VLLMValidationError
from vllm.v1.worker.gpu.buffer_utils import StagedWriteTensor, UvaBackedTensor
from vllm.v1.worker.gpu.model_runner import GPUModelRunner
from vllm.v1.worker.gpu.sample.logits_processor import (
    LogitsContext,
    LogitsProcessor,
    LogitsProcRequestState,
    build_custom_logits_processors_params_validator,
)
from vllm.v1.worker.gpu.sample.logits_processor.loader import _load_v2_logitsprocs
from vllm.v1.worker.gpu.sample.sampler import Sampler
from vllm.v1.worker.gpu.spec_decode.rejection_sampler import RejectionSampler
from vllm.v1.worker.gpu.states import RequestState

from tenuto_decoding import UnsupportedEngine
from tenuto_decoding.vllm_v2 import ThinkingLogitsProcessor, check_engine

CLASS = "tenuto_decoding.vllm_v2:ThinkingLogitsProcessor"


def test_vllms_loader_accepts_the_class() -> None:
    assert _load_v2_logitsprocs([CLASS]) == [ThinkingLogitsProcessor]


def test_vllm_validates_budgets_with_it() -> None:
    validate = build_custom_logits_processors_params_validator([CLASS])
    validate(SamplingParams())
    validate(SamplingParams(extra_args={"max_thinking_tokens": 5, "num_waits": 1}))
    with pytest.raises(VLLMValidationError, match="min_thinking_tokens: 9 is above max_thinking_tokens"):
        validate(SamplingParams(extra_args={"max_thinking_tokens": 5, "min_thinking_tokens": 9}))
    with pytest.raises(VLLMValidationError, match="thinking_token_budget: 7 is vLLM's own budget"):
        validate(SamplingParams(thinking_token_budget=7, extra_args={"max_thinking_tokens": 5}))


def test_the_interface_is_unchanged() -> None:
    for name in ("__init__", "validate_params", "add_request", "apply_staged_writes", "apply"):
        ours, theirs = (inspect.signature(getattr(kind, name)) for kind in (ThinkingLogitsProcessor, LogitsProcessor))
        assert list(ours.parameters) == list(theirs.parameters), name
    assert inspect.get_annotations(LogitsContext) == {
        "expanded_idx_mapping": "torch.Tensor",
        "idx_mapping": "torch.Tensor",
        "idx_mapping_np": "np.ndarray",
        "expanded_local_pos": "torch.Tensor",
        "input_ids": "torch.Tensor",
        "pos": "torch.Tensor",
        "seq_lens_upper_bound_np": "np.ndarray",
    }
    assert inspect.get_annotations(LogitsProcRequestState) == {
        "device": "torch.device",
        "max_num_reqs": "int",
        "vocab_size": "int",
        "all_token_ids": "StagedWriteTensor",
        "prompt_len": "UvaBackedTensor",
        "prefill_len": "UvaBackedTensor",
        "total_len": "StagedWriteTensor",
    }


def test_the_buffers_have_the_attributes_that_are_read() -> None:
    assert "gpu" in attributes_of(StagedWriteTensor)
    assert {"gpu", "np"} <= attributes_of(UvaBackedTensor)
    assert {"all_token_ids", "prompt_len", "prefill_len", "total_len"} <= attributes_of(RequestState)
    assert "logits_processors" in attributes_of(Sampler)


def test_vllm_applies_processors_in_the_expected_order() -> None:
    """Grammar, then bias, penalties and bad words, then processors, then vLLM's own budget, temperature and filters."""
    assert_in_order(
        Sampler.__init__, "logit_bias_state,", "self.penalties_state,", "bad_words_state,", "*custom_logits"
    )
    assert_in_order(
        Sampler.apply_sampling_params,
        "needs_logits_processing",
        "dtype=torch.float32",
        "in self.logits_processors",
        "self.thinking_budget_state.apply",
        "self.sampling_states.apply_temperature",
        "self.sampling_states.apply_min_p",
        "self.sampling_states.apply_top_k_top_p",
    )
    assert_in_order(GPUModelRunner.sample, "apply_grammar_bitmask", "self.sampler(", "self.rejection_sampler(")
    assert_in_order(RejectionSampler._verify, "self.sampler.apply_sampling_params", "rejection_sample(")
    # The buffers know a slot's request before the processor does, and are flushed before the processor.
    assert_in_order(
        GPUModelRunner.add_requests,
        "self.req_states.add_request",
        "self.sampler.add_request",
        "self.req_states.apply_staged_writes",
        "self.sampler.apply_staged_writes",
    )
    assert "self._remove_request(req_id)" in inspect.getsource(GPUModelRunner.finish_requests)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"speculative_config": SimpleNamespace(num_speculative_tokens=31)}, "num_speculative_tokens is 31"),
        ({"model_config": SimpleNamespace(is_diffusion=True)}, "diffusion"),
    ],
)
def test_engines_that_cannot_enforce_budgets_are_refused(options: dict[str, Any], reason: str) -> None:
    config = SimpleNamespace(**{"speculative_config": None, "model_config": None, **options})
    with pytest.raises(UnsupportedEngine, match=reason):
        check_engine(config)


def attributes_of(kind: type) -> set[str]:
    """Names that the class's constructor assigns to its instances."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind.__init__)))  # type: ignore[misc]
    stores = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))
    return {node.attr for node in stores if isinstance(node.value, ast.Name) and node.value.id == "self"}


def assert_in_order(function: Any, *parts: str) -> None:
    source = inspect.getsource(function)
    places = [source.find(part) for part in parts]
    assert -1 not in places, parts[places.index(-1)]
    assert places == sorted(places), parts

"""What the decoding package relies on of vLLM is where it was, and behaves as it did.

The V2 runner's part is in `test_vllm_v2.py`.
"""

import inspect
from dataclasses import fields
from typing import Any

import pytest
from vllm import SamplingParams
from vllm.config import SchedulerConfig, SpeculativeConfig, StructuredOutputsConfig, VllmConfig
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor, MoveDirectionality
from vllm.v1.worker.gpu_input_batch import InputBatch
from vllm.v1.worker.gpu_model_runner import GPUModelRunner
from vllm.v1.worker.worker_base import WorkerBase, WorkerWrapperBase

from tenuto_decoding.vllm_compat import process_dict_updates, template_of
from tenuto_decoding.vllm_v1 import ThinkingLogitsProcessor
from tenuto_decoding.worker import ThinkingWorkerExtension
from tenuto_testing.byte_tokenizer import make_tokenizer
from tenuto_testing.real_tokenizers import mistral


def test_the_v1_interface_has_not_moved() -> None:
    for name in ("__init__", "validate_params", "is_argmax_invariant", "update_state", "apply"):
        ours, theirs = (inspect.signature(getattr(kind, name)) for kind in (ThinkingLogitsProcessor, LogitsProcessor))
        assert list(ours.parameters) == list(theirs.parameters), name
    assert [field.name for field in fields(BatchUpdate)] == ["batch_size", "removed", "added", "moved"]


def test_batch_updates_are_applied_as_their_documentation_says() -> None:
    """Added before moved; a move may fill an index that is not among the removed; a swap keeps both."""
    parameters = [SamplingParams(max_tokens=number) for number in range(1, 4)]
    rows: dict[int, Any] = {0: "zero", 1: "one", 2: "two", 3: "three"}
    update = BatchUpdate(
        batch_size=4,
        removed=[1],
        added=[(0, parameters[0], [7], []), (2, parameters[1], None, [])],
        moved=[(3, 1, MoveDirectionality.UNIDIRECTIONAL), (0, 1, MoveDirectionality.SWAP)],
    )

    def new_row(params: SamplingParams, prompt: list[int] | None, output: list[int]) -> object | None:
        return None if prompt is None else (params.max_tokens, prompt, output)

    assert process_dict_updates(rows, update, new_row)
    assert rows == {0: "three", 1: (1, [7], [])}
    assert not process_dict_updates(rows, None, new_row)


def test_the_engines_list_of_ids_is_handed_over_itself() -> None:
    """The adapter reads a sequence's newest token from the list that it was given when the request was added."""
    source = inspect.getsource(InputBatch._register_add_request)
    assert "request.output_token_ids" in source
    assert "batch_update_builder.added.append" in source


def test_ids_are_known_before_the_processors_run() -> None:
    """With asynchronous scheduling they are placeholders until then."""
    source = inspect.getsource(GPUModelRunner._sample)
    assert source.find("update_async_output_token_ids") < source.find("self.sampler(")
    assert "update_async_output_token_ids" in source


def test_the_configuration_has_what_is_read_of_it() -> None:
    for kind, names in (
        (VllmConfig, {"additional_config", "speculative_config", "structured_outputs_config", "scheduler_config"}),
        (StructuredOutputsConfig, {"reasoning_parser", "enable_in_reasoning"}),
        (SchedulerConfig, {"max_num_seqs"}),
        (SpeculativeConfig, {"num_speculative_tokens"}),
    ):
        assert names <= {field.name for field in fields(kind)}, kind


def test_the_stop_ids_of_a_request_include_its_own() -> None:
    params = SamplingParams(stop_token_ids=[5, 6])
    assert {5, 6} <= set(params.all_stop_token_ids)
    assert params.thinking_token_budget is None
    assert params.structured_outputs is None


@pytest.mark.parametrize("name", [name for name in dir(ThinkingWorkerExtension) if not name.startswith("__")])
def test_vllms_worker_has_no_attribute_of_the_extensions_name(name: str) -> None:
    """vLLM refuses an extension that hides an attribute of its worker."""
    assert not hasattr(WorkerBase, name)


def test_a_worker_keeps_the_configuration_with_which_its_processors_are_made() -> None:
    """By that object a worker finds its processor."""
    assert "self.vllm_config = vllm_config" in inspect.getsource(WorkerBase.__init__)
    assert "worker_extension_cls" in inspect.getsource(WorkerWrapperBase.init_worker)
    assert "self.vllm_config = vllm_config" in inspect.getsource(GPUModelRunner.__init__)
    assert "build_logitsprocs(" in inspect.getsource(GPUModelRunner.__init__)


@pytest.mark.parametrize(
    ("attribute", "template"),
    [("text", "text"), ({"default": "one", "tool_use": "two"}, "one"), ({"tool_use": "two"}, None), ("", None)],
)
def test_the_template_of_a_chat_is_the_only_one_or_the_default(attribute: Any, template: str | None) -> None:
    tokenizer = make_tokenizer("")
    tokenizer.chat_template = attribute
    assert template_of(tokenizer) == template


def test_a_tokenizer_that_writes_chats_in_code_has_no_template() -> None:
    assert template_of(mistral()) is None

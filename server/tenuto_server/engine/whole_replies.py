"""Counts whole replies while they are generated. vLLM gives their tokens to its callers only at the end."""

from collections.abc import Sequence
from typing import Any

from vllm.sampling_params import RequestOutputKind

from tenuto_decoding.vllm_requests import REQUEST_KEY

from ..vllm_compat import EngineCoreRequest
from .stop_strings import AnswerOnlyOutputProcessor


class CountingOutputProcessor(AnswerOnlyOutputProcessor):
    """An output processor that has choices of whole replies take their tokens step by step, as streams do."""

    def add_request(
        self,
        request: EngineCoreRequest,
        prompt: str | None,
        parent_req: Any = None,
        request_index: int = 0,
        queue: Any = None,
    ) -> None:
        super().add_request(request, prompt, parent_req, request_index, queue)
        params = request.sampling_params
        if params is not None and params.output_kind is RequestOutputKind.FINAL_ONLY:
            key = (params.extra_args or {}).get(REQUEST_KEY, "")
            reply = self._find(key)
            if reply is not None:
                self.request_states[request.request_id].counted_choice = reply.choices[request_index]

    def process_outputs(self, engine_core_outputs: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        states = self.request_states
        known = [(states.get(output.request_id), output) for output in engine_core_outputs]
        result = super().process_outputs(engine_core_outputs, *args, **kwargs)
        for state, output in known:
            choice = getattr(state, "counted_choice", None)
            if choice is not None:
                choice.take(output.new_token_ids)  # without those after a stop string
                if output.request_id not in states:
                    choice.end()
        return result

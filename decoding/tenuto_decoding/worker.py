"""What a server asks of vLLM's workers: `worker_extension_cls="tenuto_decoding.worker.ThinkingWorkerExtension"`."""

from typing import Any

from .vllm_v1 import ThinkingLogitsProcessor


class ThinkingWorkerExtension:
    """Mixed into vLLM's worker class; its methods are called through `collective_rpc`."""

    model_runner: Any

    def thinking_report(self, request: str) -> list[tuple[list[int], list[int]]]:
        """Where redirects fired in the sequences of a request, named by `REQUEST_KEY` in its `extra_args`.

        Returns:
            For every sequence that this worker samples for: the ids that its automaton has taken, which are a prefix of
            the reply's (the last one or two may be missing) and tell the sequences of a parallel sample apart, and the
            positions at which a redirect fired. Empty on workers that do not sample.
        """
        processors = self.model_runner.input_batch.logitsprocs.all
        ours = next((processor for processor in processors if isinstance(processor, ThinkingLogitsProcessor)), None)
        return [] if ours is None else ours.report(request)

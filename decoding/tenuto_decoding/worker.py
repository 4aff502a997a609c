"""What a server asks of vLLM's workers: `worker_extension_cls="tenuto_decoding.worker.ThinkingWorkerExtension"`."""

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Reporter(Protocol):
    """The part of the two runners' processors that is asked."""

    def report(self, request: str) -> list[tuple[list[int], list[int]]]: ...


class ThinkingWorkerExtension:
    """Mixed into vLLM's worker class; its methods are called through `collective_rpc`."""

    model_runner: Any
    use_v2_model_runner: bool

    def thinking_report(self, request: str) -> list[tuple[list[int], list[int]]]:
        """Where redirects fired in the sequences of a request, named by `REQUEST_KEY` in its `extra_args`.

        Returns:
            For every sequence that this worker samples for: the ids that its automaton has taken, which are a prefix of
            the reply's (the last one or two may be missing) and tell the sequences of a parallel sample apart, and the
            positions at which a redirect fired. Empty on workers that do not sample.
        """
        ours = next((processor for processor in self._processors() if isinstance(processor, Reporter)), None)
        return [] if ours is None else ours.report(request)

    def _processors(self) -> Iterable[object]:
        if not self.use_v2_model_runner:
            processors: Iterable[object] = self.model_runner.input_batch.logitsprocs.all
            return processors
        sampler = self.model_runner.sampler  # none on a worker that does not sample
        return () if sampler is None else sampler.logits_processors

"""What a server asks of vLLM's workers: `worker_extension_cls="tenuto_decoding.worker.ThinkingWorkerExtension"`."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

from .worker_messages import SequenceReport


@runtime_checkable
class Reporter(Protocol):
    """The part of the two runners' processors that is asked."""

    def report(self, request: str) -> list[SequenceReport]: ...

    def steer(self, request: str, number: int, until: int | None) -> int: ...

    def forget(self, requests: Sequence[str]) -> None: ...


class ThinkingWorkerExtension:
    """Mixed into vLLM's worker class; its methods are called through `collective_rpc`.

    The engine core carries such calls out between two steps and sends them to all workers in the order of its steps. So
    all ranks that sample a sequence are steered before the same step, also where steps are scheduled ahead.
    """

    model_runner: Any
    use_v2_model_runner: bool

    def thinking_reports(self, requests: Sequence[str]) -> list[list[SequenceReport]]:
        """What is known of the sequences of requests, named by `REQUEST_KEY` in their `extra_args`.

        Returns:
            For each request, a report for every sequence that this worker samples for. Its ids may lack the last one or
            two of the reply, and tell the sequences of a parallel sample apart. Empty on workers that do not sample.
        """
        ours = self._ours()
        return [] if ours is None else [ours.report(request) for request in requests]

    def thinking_steer(self, request: str, number: int, until: int | None) -> int:
        """Steer the sequences of a request that are in the batch: `until` as of `ThinkingAutomaton.steer`.

        It is carried out in their next step: their reports then say at which position, under the number given here.
        A sequence that waits to be scheduled is left alone; ask again with the same number for those that were.

        Returns:
            How many sequences know this number now; those that have just ended may be among them. 0 on workers that do
            not sample.
        """
        ours = self._ours()
        return 0 if ours is None else ours.steer(request, number, until)

    def thinking_forget(self, requests: Sequence[str]) -> None:
        """Keep nothing of the sequences of these requests: they are over, and no report will be asked for.

        A runner does not say whether a sequence that leaves the batch has ended or was preempted. So what it left is
        kept, for a report and for its return, until the server says this, or until many others have left behind it.
        """
        ours = self._ours()
        if ours is not None:
            ours.forget(requests)

    def _ours(self) -> Reporter | None:
        return next((processor for processor in self._processors() if isinstance(processor, Reporter)), None)

    def _processors(self) -> Iterable[object]:
        if not self.use_v2_model_runner:
            processors: Iterable[object] = self.model_runner.input_batch.logitsprocs.all
            return processors
        sampler = self.model_runner.sampler  # none on a worker that does not sample
        return () if sampler is None else sampler.logits_processors

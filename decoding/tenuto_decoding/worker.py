"""What a server calls on vLLM's workers: `worker_extension_cls="tenuto_decoding.worker.ThinkingWorkerExtension"`."""

from collections.abc import Sequence
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from .worker_messages import SequenceReport


class Reporter(Protocol):
    """What the processors of both runners offer to the worker."""

    def report(self, request: str) -> list[SequenceReport]: ...

    def steer(self, request: str, number: int, until: int | None) -> int: ...

    def forget(self, requests: Sequence[str]) -> None: ...


#: The processors of this process, each with the configuration of its engine: a process may run several engines.
_processors: WeakKeyDictionary[Reporter, object] = WeakKeyDictionary()


def register(processor: Reporter, config: object) -> None:
    """Let the worker of this process that has the same configuration object find its processor."""
    _processors[processor] = config


class ThinkingWorkerExtension:
    """Mixed into vLLM's worker class; its methods are called through `collective_rpc`.

    The engine core makes such calls between two steps and sends them to all workers in the order of its steps. So all
    ranks that sample a sequence are steered before the same step, also if steps are scheduled ahead.
    """

    vllm_config: Any  # the worker's own

    def thinking_reports(self, requests: Sequence[str]) -> list[list[SequenceReport]]:
        """What is known of the sequences of requests, named by `REQUEST_KEY` in their `extra_args`.

        Returns:
            For each request, a report for every sequence that this worker samples for. Its ids may lack the last one or
            two of the reply, and tell the sequences of a parallel sample apart. Empty on workers that do not sample.
        """
        processor = self._processor()
        return [] if processor is None else [processor.report(request) for request in requests]

    def thinking_steer(self, request: str, number: int, until: int | None) -> int:
        """Steer the sequences of a request that are in the batch: `until` as of `ThinkingAutomaton.steer`.

        It takes effect in their next step: their reports then give its position, under this number. A sequence that
        waits to be scheduled is left alone; call again with the same number to reach those.

        Returns:
            How many sequences have this number now; those that have just ended may be among them. 0 on workers that do
            not sample.
        """
        processor = self._processor()
        return 0 if processor is None else processor.steer(request, number, until)

    def thinking_forget(self, requests: Sequence[str]) -> None:
        """Drop the state of the sequences of these requests: they are over, and no report will be requested.

        A runner does not report whether a sequence that leaves the batch has ended or was preempted. So its state is
        kept, for a report and for its return, until the server calls this or until many others have left after it.
        """
        processor = self._processor()
        if processor is not None:
            processor.forget(requests)

    def _processor(self) -> Reporter | None:
        """None on a worker that does not sample."""
        return next((each for each, config in _processors.items() if config is self.vllm_config), None)

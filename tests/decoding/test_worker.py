"""A worker finds the processor of its own engine, also in a process that runs several."""

import gc
from collections.abc import Sequence

from tenuto_decoding.worker import ThinkingWorkerExtension, register
from tenuto_decoding.worker_messages import SequenceReport


class Processor:
    """Knows one sequence."""

    def __init__(self, token: int) -> None:
        self.known = SequenceReport([token], [], [])
        self.forgotten: list[str] = []

    def report(self, request: str) -> list[SequenceReport]:
        return [self.known]

    def steer(self, request: str, number: int, until: int | None) -> int:
        return 1

    def forget(self, requests: Sequence[str]) -> None:
        self.forgotten += requests


class Worker(ThinkingWorkerExtension):
    """A worker, as far as the extension sees it."""

    def __init__(self, config: object) -> None:
        self.vllm_config = config


def test_each_worker_finds_the_processor_with_its_configuration() -> None:
    configs, processors = [object(), object()], [Processor(1), Processor(2)]
    for processor, config in zip(processors, configs, strict=True):
        register(processor, config)
    for processor, config in zip(processors, configs, strict=True):
        worker = Worker(config)
        assert worker.thinking_reports(["a", "b"]) == [[processor.known], [processor.known]]
        assert worker.thinking_steer("a", 1, None) == 1
        worker.thinking_forget(["a"])
        assert processor.forgotten == ["a"]


def test_a_worker_without_a_processor_reports_nothing() -> None:
    worker = Worker(object())
    assert worker.thinking_reports(["a"]) == []
    assert worker.thinking_steer("a", 1, None) == 0
    worker.thinking_forget(["a"])


def test_the_registry_keeps_no_processor_alive() -> None:
    config, processor = object(), Processor(1)
    register(processor, config)
    del processor
    gc.collect()
    assert Worker(config).thinking_reports(["a"]) == []

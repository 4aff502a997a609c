"""Engines within this process, which is left as it was for the benchmarks that follow."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from tenuto_testing.engines import Engines, in_process_engines


@contextmanager
def engines_here() -> Iterator[Engines]:
    """A place for engines, which say nothing of what they do.

    vLLM binds its threads to cores, the one that calls it among them; what is started later would be bound as well.
    """
    cores = os.sched_getaffinity(0)
    logging.disable(logging.WARNING)
    try:
        with in_process_engines() as engines:
            yield engines
    finally:
        logging.disable(logging.NOTSET)
        os.sched_setaffinity(0, cores)

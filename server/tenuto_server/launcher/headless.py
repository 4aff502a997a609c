"""Runs the workers of one further node of a model that is spread over several: no HTTP server, and no engine core.

The node ends with its workers and with node 0, however that ends. After SIGTERM it goes on until then: an orchestrator
sends the signal to all nodes at once, and node 0 still needs its workers for the replies that it finishes.
"""

import logging
import os
import signal
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable
from types import FrameType
from typing import Never

from vllm.config import VllmConfig
from vllm.engine.arg_utils import AsyncEngineArgs

from ..config.command_line import ServeConfig
from ..config.option_errors import usage_errors
from ..errors import StartupError
from ..vllm_compat import RemoteWorkers, configure_logging_from_args
from .engine_startup import configure
from .exit_status import FAILED, OK, USAGE_ERROR
from .node_watch import wait_for_end_of
from .output import ServerOutput

logger = logging.getLogger("vllm.tenuto")

#: How long node 0 may take to end after its drain, in seconds.
_EXIT_SECONDS = 30.0


def run_headless(config: ServeConfig, args: Namespace, output: ServerOutput) -> Never:
    """Run this node's workers until they end, node 0 ends, or a signal ends the process.

    vLLM sends its nodes no configuration: each reads the same options, and configures its workers by them.

    Raises:
        StartupError: for options that cannot work.
    """
    configure_logging_from_args(args)
    output.attach(args)
    output.begin(args, f"none: this is node {args.node_rank} of {args.nnodes}, and {args.master_addr} has node 0")
    node = HeadlessNode(args, output, config.drain_timeout)
    try:
        with usage_errors(args):
            engine_args = AsyncEngineArgs.from_cli_args(args)
        node.run(configure(config, args, engine_args)[0])
    except Exception as error:
        output.failed(error)
        leave(USAGE_ERROR if isinstance(error, StartupError) else FAILED)
    logger.error("The workers of this node have ended, and the process exits")
    output.close()
    leave(FAILED)


class HeadlessNode:
    """The process of a node other than the first.

    Args:
        drain_timeout: of node 0, in seconds.
    """

    def __init__(self, args: Namespace, output: ServerOutput, drain_timeout: float) -> None:
        self._args, self._output = args, output
        self._patience = drain_timeout + _EXIT_SECONDS
        self._has_joined = self._is_signalled = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def run(self, vllm_config: VllmConfig) -> None:
        """Start the workers, which wait for those of the other nodes, and return when one of them has ended."""
        workers = RemoteWorkers(vllm_config)
        self._has_joined = True
        self._output.joined(f"Node {self._args.node_rank} of {self._args.nnodes} runs its workers")
        _in_background(self._end_with_node_0)
        workers.wait()

    def _end_with_node_0(self) -> None:
        error = wait_for_end_of(self._args.master_addr, self._args.master_port)
        if self._is_signalled:
            leave(OK)
        logger.error("Node 0 has ended, and so does this node: %s", error)
        self._output.close()
        leave(FAILED)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """The first signal waits for the end of node 0; a second one, or one while loading, ends the node at once."""
        if self._is_signalled or not self._has_joined:
            leave(OK)
        self._is_signalled = True
        logger.info("This node ends when node 0 does, and after %g s at the latest", self._patience)
        _in_background(self._end_when_patience_is_over)

    def _end_when_patience_is_over(self) -> None:
        time.sleep(self._patience)
        leave(OK)


def _in_background(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()


def leave(status: int) -> Never:
    """End the process now: the workers watch it, and so end too."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)

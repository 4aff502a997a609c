"""Notices the end of the first of several nodes, over the network."""

import time
from datetime import timedelta

from torch.distributed import TCPStore

#: How often to ask, and how long an answer may take before the node counts as gone, in seconds.
_POLL_SECONDS = 1.0
_ANSWER_SECONDS = 30.0


def wait_for_end_of(host: str, port: int) -> Exception:
    """Wait until the store through which the workers of all nodes found each other does not answer any more.

    The first worker of node 0 keeps it, for as long as it runs.

    Returns:
        What the last question failed with.
    """
    try:
        store = TCPStore(host, port, is_master=False, timeout=timedelta(seconds=_ANSWER_SECONDS))
        while True:
            store.num_keys()
            time.sleep(_POLL_SECONDS)
    except Exception as error:  # of several types, by how the node has ended
        return error

"""A node notices when the process that keeps the nodes' store ends."""

import subprocess
import sys
import threading

from tenuto_server.launcher.node_watch import wait_for_end_of

KEEPER = """
import time
from torch.distributed import TCPStore
store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
print(store.port, flush=True)
time.sleep(600)
"""


def test_the_end_of_the_store_is_noticed() -> None:
    with subprocess.Popen([sys.executable, "-c", KEEPER], stdout=subprocess.PIPE, text=True) as keeper:
        try:
            assert keeper.stdout is not None
            port = int(keeper.stdout.readline())
            errors: list[Exception] = []
            watch = threading.Thread(target=lambda: errors.append(wait_for_end_of("127.0.0.1", port)))
            watch.start()
            watch.join(3)
            assert watch.is_alive()
        finally:
            keeper.kill()
        watch.join(60)
        assert not watch.is_alive()
        assert len(errors) == 1

"""A server that starts quickly, to test starting and ending one: with readiness, a child process, and failures.

    python small_server.py PIDS [--fail | --never-ready | --stubborn] --host HOST --port PORT

Writes its own process id and its child's to PIDS. With --stubborn it ignores SIGTERM, as does its child.
"""

import argparse
import http.server
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("pids", type=Path)
    options.add_argument("--fail", action="store_true")
    options.add_argument("--never-ready", action="store_true")
    options.add_argument("--stubborn", action="store_true")
    options.add_argument("--host")
    options.add_argument("--port", type=int)
    arguments = options.parse_args()
    if arguments.fail:
        sys.exit("no model there")
    if arguments.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "1000"])
    status = 503 if arguments.never_ready else 200

    class Probe(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    server = http.server.HTTPServer((arguments.host, arguments.port), Probe)
    arguments.pids.write_text(f"{os.getpid()} {child.pid}")
    server.serve_forever()


if __name__ == "__main__":
    main()

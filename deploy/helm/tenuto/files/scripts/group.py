"""What a worker of a group does about its leader: find it before it starts, and outlive it when it ends.

find SECONDS: return once the leader's name resolves, which takes a moment after its pod has an address.
outlive SECONDS PORT: return once the leader's server has ended, or at the latest after that many seconds. Until then
the leader finishes its replies, for which it needs this pod.

The name is in the environment, because commands of lifecycle hooks are run as they are, without variables filled in.
"""

import http.client
import os
import socket
import sys
import time

_GONE = 3  # probes without an answer in a row


def resolves(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, None))
    except OSError:
        return False


def is_alive(name: str, port: int) -> bool:
    connection = http.client.HTTPConnection(name, port, timeout=2)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def find(name: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not resolves(name):
        if time.monotonic() > end:
            sys.exit(f"the name of the group's leader, {name}, did not resolve within {seconds:g} s")
        time.sleep(0.5)


def outlive(name: str, seconds: float, port: int) -> None:
    end, missed = time.monotonic() + seconds, 0
    while missed < _GONE and time.monotonic() < end:
        missed = 0 if is_alive(name, port) else missed + 1
        time.sleep(0.5)


if __name__ == "__main__":
    leader, (action, limit, *port) = os.environ["LWS_LEADER_ADDRESS"], sys.argv[1:]
    if action == "find":
        find(leader, float(limit))
    else:
        outlive(leader, float(limit), int(port[0]))

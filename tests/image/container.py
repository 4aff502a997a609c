"""Runs an image as a container, with crun, as strictly as Kubernetes would: see `Container`."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from .builder import BuiltImage

START_SECONDS = 600.0
STOP_SECONDS = 60.0
#: As OpenShift chooses them: without an entry in /etc/passwd.
USER = 1_000_540_000

#: /dev/shm has a gigabyte, as with `--shm-size 1g`: vLLM refuses to start with the 64 MiB that Docker gives by default.
_TMPFS = ("nosuid", "nodev", "noexec")
_MOUNTS = (
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": [*_TMPFS, "mode=1777", "size=1g"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*_TMPFS, "ro"]},
    {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": [*_TMPFS, "mode=1777"]},
)
#: crun 1.8 refuses to run where both versions of control groups are mounted, even if it shall use none: hide them.
_HIDE_CGROUPS = 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"'


@dataclass(frozen=True)
class Container:
    """A container that runs.

    Its user is an arbitrary one of group 0, without capabilities and without a way to get any. It has process ids, a
    network with a loopback interface alone, and a /dev/shm of its own. Its file system is read-only except for /tmp and
    the image's volumes.
    """

    name: str
    folder: Path
    image: BuiltImage
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def has_started(self) -> bool:
        state = self._crun("state", self.name)
        return state.returncode == 0 and json.loads(state.stdout)["status"] == "running"

    @property
    def main(self) -> psutil.Process:
        """Its process 1."""
        state = json.loads(self._crun("state", self.name).stdout)
        return psutil.Process(state["pid"])

    @property
    def network(self) -> Path:
        """Its network namespace."""
        return Path(f"/proc/{self.main.pid}/ns/net")

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in it, as its user."""
        return self._crun("exec", f"--user={USER}:0", self.name, *command)

    def is_healthy(self) -> bool:
        """Whether the command of the image's HEALTHCHECK succeeds."""
        kind, *command = self.image.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.run(*command).returncode == 0

    def stop(self) -> int:
        """Send the image's STOPSIGNAL, and wait for the exit status."""
        self.send(signal.Signals[self.image.config["StopSignal"]])
        return self.process.wait(STOP_SECONDS)

    def send(self, number: signal.Signals) -> None:
        assert self._crun("kill", self.name, number.name).returncode == 0

    def wait_until(self, condition: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        """Wait for a condition. Fails at once if the container ends."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.log}"
            assert time.monotonic() < deadline, f"not within {seconds} s:\n{self.log}"
            time.sleep(0.2)

    def _crun(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*_crun(self.folder), *arguments], capture_output=True, text=True)


@contextmanager
def running(image: BuiltImage, folder: Path, *arguments: str, mounts: Mapping[Path, str] = {}) -> Iterator[Container]:
    """Start an image with arguments; at the end, kill what runs.

    Args:
        folder: for the container's files; it is removed.
        mounts: paths of this machine to mount read-only, by their places in the container.
    """
    folder.mkdir(parents=True)
    config = _config(image, folder, arguments, mounts)
    (folder / "config.json").write_text(json.dumps(config))
    command = [*_crun(folder), "run", f"--bundle={folder}", folder.name]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    container = Container(folder.name, folder, image, process)
    try:
        container.wait_until(container.has_started)
        yield container
    finally:
        subprocess.run([*_crun(folder), "delete", "--force", folder.name], capture_output=True)
        process.wait(STOP_SECONDS)
        shutil.rmtree(folder)


def _crun(folder: Path) -> list[str]:
    hidden = ["unshare", "--mount", "sh", "-c", _HIDE_CGROUPS, "sh"]
    return [*hidden, "crun", f"--root={folder / 'crun'}", "--cgroup-manager=disabled"]


def _config(image: BuiltImage, folder: Path, arguments: Sequence[str], mounts: Mapping[Path, str]) -> dict[str, Any]:
    """The configuration of an OCI runtime, from the image's."""
    volumes = {_volume(image, folder, path): path for path in image.config["Volumes"]}
    binds = [_bind(source, path, "rw") for source, path in volumes.items()]
    binds += [_bind(source, path, "ro") for source, path in mounts.items()]
    spaces = ("pid", "mount", "ipc", "uts", "network")
    return {
        "ociVersion": "1.0.2",
        "hostname": "tenuto",
        "root": {"path": str(image.files), "readonly": True},
        "process": {
            "user": {"uid": USER, "gid": 0},
            "args": [*image.config["Entrypoint"], *(image.config.get("Cmd") or ()), *arguments],
            "env": image.config["Env"],
            "cwd": image.config["WorkingDir"],
            "capabilities": {},
            "noNewPrivileges": True,
        },
        "mounts": [*_MOUNTS, *binds],
        "linux": {"namespaces": [{"type": space} for space in spaces]},
    }


def _volume(image: BuiltImage, folder: Path, path: str) -> Path:
    """A new folder for a volume, with the owner and mode that it has in the image, as Docker makes one."""
    original = (image.files / path.removeprefix("/")).stat()
    volume = folder / path.strip("/").replace("/", "-")
    volume.mkdir()
    os.chown(volume, original.st_uid, original.st_gid)
    volume.chmod(original.st_mode & 0o7777)
    return volume


def _bind(source: Path, path: str, mode: str) -> dict[str, Any]:
    return {"destination": path, "type": "bind", "source": str(source), "options": ["bind", mode]}

"""Processes that outlive the launcher, and are found again by exactly what they are.

A pid alone is a promise nobody made: after a crash the number may belong to anything. A process is therefore known
by its pid together with the tick it was started at and the boot it was started in, and it is signalled through a
pidfd, which cannot come to mean another process between the check and the signal.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_children: dict[int, subprocess.Popen[bytes]] = {}
"""What this interpreter itself started: ended, these stay as zombies until they are asked after."""


@dataclass(frozen=True)
class Process:
    """A started process; ``mark`` is what tells it from a later one with the same pid."""

    pid: int
    mark: str

    def alive(self) -> bool:
        return mark_of(self.pid) == self.mark


def mark_of(pid: int) -> str | None:
    """Return what identifies the process that has ``pid`` now, or None if there is none that still runs."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    started = started_ticks(stat)
    return None if started is None else f"{boot}/{started}"


def started_ticks(stat: str) -> int | None:
    """Read the start time (clock ticks since boot) out of a ``/proc/PID/stat`` line; None for one that has ended.

    The command name stands in parentheses and may hold anything, parentheses and spaces too: count from the last one.
    """
    fields = stat.rpartition(")")[2].split()
    ended = fields[0] in ("Z", "X", "x")
    return None if ended else int(fields[19])


def spawn(argv: Sequence[str], *, executable: Path, log: Path, cwd: Path, env: Mapping[str, str]) -> Process:
    """Start a process in a session of its own, so that the launcher's Ctrl-C or end does not reach it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        started = subprocess.Popen(
            list(argv),
            executable=executable,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, **env},
            start_new_session=True,
        )
    _children[started.pid] = started
    return Process(started.pid, mark_of(started.pid) or "ended")


def stop(processes: Sequence[Process], grace: float) -> None:
    """End processes and return when they are gone: SIGTERM to all, SIGKILL to those that outlast ``grace`` seconds."""
    with contextlib.ExitStack() as stack:
        handles = [handle for process in processes if (handle := stack.enter_context(_handle(process))) is not None]
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 30.0)):
            for handle in handles:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, number)
            handles = _outlasting(handles, patience)
    for process in processes:
        if (child := _children.pop(process.pid, None)) is not None:
            child.poll()


@contextlib.contextmanager
def _handle(process: Process) -> Iterator[int | None]:
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield handle if process.alive() else None
    finally:
        os.close(handle)


def _outlasting(handles: list[int], patience: float) -> list[int]:
    """Wait up to ``patience`` seconds in all; a pidfd can be read once its process has ended."""
    left = set(handles)
    poll = select.poll()
    for handle in handles:
        poll.register(handle, select.POLLIN)
    deadline = time.monotonic() + patience
    while left and (rest := deadline - time.monotonic()) > 0:
        for handle, _ in poll.poll(rest * 1000):
            poll.unregister(handle)
            left.discard(handle)
    return [handle for handle in handles if handle in left]


class Records:
    """The processes of one cluster, remembered in a folder with one small file for each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, name: str, process: Process) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file(name).write_text(json.dumps({"pid": process.pid, "mark": process.mark}) + "\n")

    def running(self, name: str) -> Process | None:
        """Return the recorded process if it is that very one that still runs."""
        try:
            raw = json.loads(self._file(name).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        process = Process(raw["pid"], raw["mark"])
        return process if process.alive() else None

    def forget(self, name: str) -> None:
        self._file(name).unlink(missing_ok=True)

    def names(self) -> list[str]:
        return sorted(file.stem for file in self._folder.glob("*.pid"))

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.pid"

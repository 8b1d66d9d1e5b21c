"""CPU time and memory of processes, from /proc."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """cpu: seconds used so far, of all threads. resident, most: bytes, now and at most so far."""

    cpu: float
    resident: int
    most: int


def of(pids: Iterable[int]) -> Usage:
    """The sum over processes. Raises FileNotFoundError when one has ended."""
    cpu, resident, most = 0.0, 0, 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        cpu += (int(fields[11]) + int(fields[12])) / _TICKS
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "VmRSS":
                resident += int(value.split()[0]) * 1024
            elif name == "VmHWM":
                most += int(value.split()[0]) * 1024
    return Usage(cpu, resident, most)


def machine() -> str:
    """What this machine is, and what runs Python here, in a few words."""
    names = (
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} cores ({next(names, 'unknown')}), {memory:.0f} GiB, {python}"

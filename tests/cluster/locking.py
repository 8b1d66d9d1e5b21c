"""One launcher at a time in a folder.

The lock is on the folder itself, so it leaves no file behind, nor a folder that nothing was put into. A folder can
so be removed by the one who held the lock before; whoever then gets the lock holds it on nothing, and looks again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold ``folder`` (made when missing) against other launchers; waits for its turn."""
    descriptor = _lock(folder)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()  # Refused, as it should be, for one that holds anything.
        os.close(descriptor)


def _lock(folder: Path) -> int:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            if os.path.samestat(os.fstat(descriptor), folder.stat()):
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)

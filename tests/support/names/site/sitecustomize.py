"""Imported by Python when a process starts that has this folder on its path: see `tests.support.names`."""

import os
import socket
from pathlib import Path
from typing import Any

_names = Path(os.environ["RESILIENCE_TEST_NAMES"])
_really = socket.getaddrinfo


def _getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
    return _really("127.0.0.1" if host in _names.read_text().split() else host, *args, **kwargs)


socket.getaddrinfo = _getaddrinfo

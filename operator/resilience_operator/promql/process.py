"""The parser process: one JSON line in, one JSON line out, until its input ends.

promql-parser holds the GIL while it parses, so a thread would block the event loop. It may also overflow the stack,
panic or run for minutes. Here that ends only this process.

First output: `READY`. Input: `[query, label, value]`. Output: `[text, null]` or `[null, what to change]`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys

from resilience_operator.promql.errors import TemplateError
from resilience_operator.promql.tenancy import enforce

READY = b"ready\n"
"""Written before the first read. After it, an unexpected exit is caused by a query."""

CPU_SECONDS = 2.0
"""CPU time for one query. The process is killed beyond it (SIGVTALRM). A busy node does not shorten it, since only the
process's own CPU time counts.
"""

MEMORY_BYTES = 256 << 20
"""Limit of private memory."""


def answer(line: bytes) -> bytes:
    """The output line for an input line."""
    query, label, value = json.loads(line)
    try:
        found = [enforce(query, label, value), None]
    except TemplateError as error:
        found = [None, str(error)]
    except RecursionError:
        found = [None, "the query is nested too deeply: make it shorter"]
    except MemoryError:
        found = [None, "the query takes too much memory to parse: make it shorter"]
    except Exception as error:
        found = [None, f"the query cannot be read: the parser failed on it with {type(error).__name__}"]
    return json.dumps(found).encode() + b"\n"


def main() -> None:
    """Serve requests on the standard streams."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal: the parent stops this process
    with contextlib.suppress(OSError):
        os.nice(10)  # it shares the pod's CPU with the event loop
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    for line in sys.stdin.buffer:
        signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
        found = answer(line)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        sys.stdout.buffer.write(found)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()

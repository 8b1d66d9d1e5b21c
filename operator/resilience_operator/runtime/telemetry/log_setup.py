"""Logging: JSON for machines, one readable line for a console.

No secrets: nothing read from a credentials file is ever passed to a logger.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Literal

from pythonjsonlogger.json import JsonFormatter

from resilience_operator.api.text import one_line

LogFormat = Literal["json", "console", "auto"]


def _rfc3339(record: logging.LogRecord) -> str:
    """The record's time in UTC, in milliseconds, in both formats."""
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Console(logging.Formatter):
    """`2026-01-31T12:30:05.123Z INFO    runtime.evaluation.batch  shop/checkout: scaleUp 3 → 5`."""

    def format(self, record: logging.LogRecord) -> str:
        name = record.name.removeprefix("resilience_operator.")
        line = f"{_rfc3339(record)} {record.levelname:<7} {name}  {one_line(record.getMessage())}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _Json(JsonFormatter):
    """One JSON object per line. `time` is RFC 3339 in UTC, in milliseconds: `2026-01-31T12:30:05.123Z`."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        return _rfc3339(record)


def configure_logging(format_: LogFormat, level: str) -> None:
    """Log to standard error. `auto`: console format on a terminal, otherwise JSON."""
    handler = logging.StreamHandler(sys.stderr)
    if format_ == "console" or (format_ == "auto" and sys.stderr.isatty()):
        handler.setFormatter(_Console())
    else:
        handler.setFormatter(
            _Json(
                "%(asctime)s %(levelname)s %(name)s %(message)s",
                rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
                json_ensure_ascii=False,
            )
        )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    # kopf logs each event that it passes to a handler; the operator logs what matters itself.
    logging.getLogger("kopf").setLevel(max(logging.WARNING, logging.getLogger().level))
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)

"""Finds the metrics endpoint of a replay in the same way as the operator."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from resilience_operator.cli.common.console import UsageError
from resilience_operator.runtime.config import load
from resilience_operator.signals.prometheus.config import SourceConfig


def find_source(name: str, url: str | None, config: Path | None) -> SourceConfig:
    """The source that a policy names; a given address overrides it. Raises UsageError."""
    if url is not None:
        try:
            return SourceConfig(name=name, url=url)
        except ValidationError as error:
            problem = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise UsageError(f"--prometheus-url: {problem}") from None
    sources = load({}, config).all_sources
    found = next((source for source in sources if source.name == name), None)
    if found is None:
        known = f"; configured: {', '.join(s.name for s in sources)}" if sources else ""
        raise UsageError(
            f"metric source {name} is not configured{known}: use --prometheus-url, or --config with the "
            "operator's configuration"
        )
    return found

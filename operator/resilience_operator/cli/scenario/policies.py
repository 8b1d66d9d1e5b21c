"""The policies that a scenario names or contains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resilience_operator.cli.common.documents import only_policy


def policy_document(written: str | Mapping[str, Any], folder: str) -> dict[str, Any]:
    """The policy: as written, or from a file relative to `folder`. Raises UsageError."""
    return only_policy(str(Path(folder) / written)) if isinstance(written, str) else dict(written)

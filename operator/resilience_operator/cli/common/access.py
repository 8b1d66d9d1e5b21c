"""Which cluster, user and namespace a command uses, from its options and the kubeconfig."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Access:
    """The cluster and the user, with kubectl's options. None: the default of the kubeconfig.

    timeout: seconds for one request; None for the default.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    cluster: str | None = None
    user: str | None = None
    server: str | None = None
    as_user: str | None = None
    as_groups: tuple[str, ...] = ()
    timeout: float | None = None


def default_namespace(access: Access) -> str:
    """The namespace of the context; `default` if it names none."""
    paths = str(access.kubeconfig or os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    documents = [d for path in paths.split(os.pathsep) if path and isinstance(d := _read(Path(path)), dict)]
    current = access.context or next((d["current-context"] for d in documents if d.get("current-context")), None)
    for document in documents:
        for context in document.get("contexts") or ():
            if isinstance(context, dict) and context.get("name") == current:
                return str((context.get("context") or {}).get("namespace") or "default")
    return "default"


def _read(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError):
        # The connection reports the problem.
        return None

"""helm and kubectl, of the cluster's own version, called as people call them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.cluster.build import ensure

NAMES = ("helm", "kubectl")
PATIENCE = 180
"""Seconds that a call may take on a machine that is busy otherwise."""


def binary() -> Path:
    """The binary that is helm or kubectl, by the name it is called by; built where it is not there yet."""
    return ensure(["clients"], print)["clients"]


def links(folder: Path) -> Path:
    """Make `folder` one for the PATH, with helm and kubectl in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (folder / name).symlink_to(binary())
    return folder


def call(
    name: str, *arguments: str, kubeconfig: Path, given: str | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run helm or kubectl on a cluster, and expect it to succeed unless told otherwise."""
    # Helm keeps its files beside the kubeconfig, and nobody's settings are taken.
    home = {"HELM_CACHE_HOME": "helm-cache", "HELM_CONFIG_HOME": "helm-config", "HELM_DATA_HOME": "helm-data"}
    done = subprocess.run(
        [name, *arguments],
        executable=binary(),
        env={
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            **{variable: str(kubeconfig.with_name(folder)) for variable, folder in home.items()},
        },
        input=given,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert not check or done.returncode == 0, f"{name} {' '.join(arguments)}: {done.stderr}"
    return done

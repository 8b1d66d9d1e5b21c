"""helm and kubectl of versions that fit the cluster, called as people call them: this machine's, or built ones."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

from tests.cluster.build import ensure
from tests.cluster.installed import CLIENTS, installed

PATIENCE = 180
"""Seconds that a call may take on a machine that is busy otherwise."""


@cache
def binary(name: str) -> Path:
    """This machine's program if its version fits, or else the built one: it is both, by the name it is called."""
    return installed(name) or ensure(["clients"], print)["clients"]


def links(folder: Path) -> Path:
    """Make `folder` one for the PATH, with helm and kubectl in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in CLIENTS:
        (folder / name).symlink_to(binary(name))
    return folder


def call(
    name: str, *arguments: str, kubeconfig: Path, given: str | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run helm or kubectl on a cluster, and expect it to succeed unless told otherwise."""
    # Helm keeps its files beside the kubeconfig, and nobody's settings are taken.
    home = {"HELM_CACHE_HOME": "helm-cache", "HELM_CONFIG_HOME": "helm-config", "HELM_DATA_HOME": "helm-data"}
    done = subprocess.run(
        [name, *arguments],
        executable=binary(name),
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

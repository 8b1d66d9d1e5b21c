"""kubectl and helm of this machine are used if their versions fit, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.installed import installed


def program(folder: Path, name: str, output: str, code: int = 0) -> None:
    """A program that prints a version, as kubectl and helm print theirs."""
    file = folder / name
    file.write_text(f"#!/bin/sh\necho '{output}'\nexit {code}\n")
    file.chmod(0o755)


@pytest.mark.parametrize(
    ("name", "output", "fits"),
    [
        ("kubectl", "Client Version: v1.37.2", True),
        ("kubectl", "Client Version: v1.36.0-rc.1", True),
        ("kubectl", "Client Version: v1.38.1+k3s1", True),
        ("kubectl", "Client Version: v1.34.9", False),
        ("kubectl", "Client Version: v2.37.0", False),
        ("kubectl", "no version at all", False),
        ("helm", "v4.3.1+g0123abc", True),
        ("helm", "v4.9", True),
        ("helm", "v4.0.5+g0123abc", False),
        ("helm", "v3.19.0+g0123abc", False),
        ("helm", "v5.0.0", False),
    ],
)
def test_the_version_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, output: str, fits: bool
) -> None:
    program(tmp_path, name, output)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert (installed(name) is not None) is fits


def test_a_program_that_fails_or_is_missing_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "helm", "v4.3.1", code=1)
    (tmp_path / "kubectl").write_text("not a program")
    (tmp_path / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert installed("helm") is None
    assert installed("kubectl") is None
    (tmp_path / "helm").unlink()
    assert installed("helm") is None

"""kubectl and helm of this machine are used if their versions fit, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.installed import installed, provider, servers


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
        ("etcd", "etcd Version: 3.7.0\nGit SHA: 0123abc\nGo Version: go1.26.8", True),
        ("etcd", "etcd Version: 3.5.21", False),
        ("etcd", "etcd Version: 4.0.0", False),
        ("prometheus", "prometheus, version 3.16.0 (branch: HEAD, revision: 0123abc)", True),
        ("prometheus", "prometheus, version 3.20.1 (branch: HEAD, revision: 0123abc)", True),
        ("prometheus", "prometheus, version 2.55.1 (branch: HEAD, revision: 0123abc)", False),
        ("kind", "kind v0.33.0 go1.26.8 linux/amd64", True),
        ("kind", "kind version 0.34.0", True),
        ("kind", "kind v0.29.0 go1.24.2 linux/amd64", False),
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


@pytest.mark.parametrize(
    ("kind", "engine", "chosen"),
    [
        ("kind v0.33.0", 0, "kind"),
        ("kind v0.33.0", 1, "local"),
        ("kind v0.20.0", 0, "local"),
        ("", 0, "local"),
        ("kind v0.33.0", None, "local"),
    ],
)
def test_kind_is_chosen_where_it_and_an_engine_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, engine: int | None, chosen: str
) -> None:
    if kind:
        program(tmp_path, "kind", kind)
    if engine is not None:
        program(tmp_path, "docker", "", code=engine)
    monkeypatch.setenv("PATH", str(tmp_path))
    said: list[str] = []
    assert provider(said.append) == chosen
    assert len(said) == 1


def test_only_servers_that_are_wanted_and_fit_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "etcd", "etcd Version: 3.7.0")
    program(tmp_path, "prometheus", "prometheus, version 2.40.0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert servers(["controlplane", "kwok", "prometheus"], print) == {"etcd": tmp_path / "etcd"}
    assert servers(["kwok", "prometheus"], print) == {}

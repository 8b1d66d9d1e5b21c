"""Pure: which policies a command is about."""

from __future__ import annotations

from typing import Any

import pytest

from resilience_operator.cli.common.console import UsageError
from resilience_operator.cli.common.selection import Selection, select


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["a"], ("a",)),
        (["rsp/a"], ("a",)),
        (["resiliencepolicies.resilience-operator.io/a", "b"], ("a", "b")),
        (["rsp", "a", "b"], ("a", "b")),
        (["a", "a"], ("a",)),
        (["rsp"], ("rsp",)),  # a policy may be called so
    ],
)
def test_names_are_written_as_in_kubectl(arguments: list[str], found: tuple[str, ...]) -> None:
    assert select(arguments, namespace="shop").names == found


@pytest.mark.parametrize("argument", ["a/b/c", "rsp/", "/a", "", "deploy/"])
def test_what_names_nothing_is_refused(argument: str) -> None:
    with pytest.raises(UsageError, match=r"names nothing|is not TYPE/NAME"):
        select([argument], namespace="shop")


@pytest.mark.parametrize(
    ("arguments", "targets"),
    [
        (["deploy/a"], ["Deployment a"]),
        (["deployment.apps/a", "Deployments.v1.apps/a"], ["Deployment a"]),
        (["sts/a", "daemonsets/b"], ["StatefulSet a", "DaemonSet b"]),
        (["deployment", "a", "b"], ["Deployment a", "Deployment b"]),
        (["rollouts.argoproj.io/a"], ["rollouts a"]),
    ],
)
def test_targets_are_written_as_in_kubectl(arguments: list[str], targets: list[str]) -> None:
    found = select(arguments, namespace="shop")

    assert sorted({str(target) for target in found.targets}) == sorted(targets)
    assert (found.names, found.only) == ((), None)


@pytest.mark.parametrize(
    ("argument", "api_version", "kind", "matches"),
    [
        ("deploy/a", "apps/v1", "Deployment", True),
        ("deploy/b", "apps/v1", "Deployment", False),
        ("sts/a", "apps/v1", "Deployment", False),
        ("rollout/a", "argoproj.io/v1alpha1", "Rollout", True),
        ("rollouts.argoproj.io/a", "argoproj.io/v1alpha1", "Rollout", True),
        ("rollouts.v1alpha1.argoproj.io/a", "argoproj.io/v1alpha1", "Rollout", True),
        ("rollouts.example.org/a", "argoproj.io/v1alpha1", "Rollout", False),
        ("proxies/a", "example.org/v1", "Proxy", True),
    ],
)
def test_a_policy_is_found_by_its_target(argument: str, api_version: str, kind: str, matches: bool) -> None:
    [target] = select([argument], namespace="shop").targets

    assert (
        target.is_target_of({"spec": {"targetRef": {"apiVersion": api_version, "kind": kind, "name": "a"}}}) is matches
    )
    assert not target.is_target_of({"spec": {"targetRef": None}})
    assert not target.is_target_of({"spec": []})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"names": ["a"], "selector": "x=y"}, "not both"),
        ({"names": ["a"], "everywhere": True}, "not both"),
        ({"names": ["a"], "all_": True}, "not both"),
        ({"names": [], "all_": False}, "no policy given"),
        ({"names": None, "all_": False}, "no policy given"),
    ],
)
def test_nothing_is_selected_by_accident(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        select(**options, namespace="shop")


def test_selections() -> None:
    assert select(None, namespace="shop", all_=True) == Selection("shop")
    assert select(None, namespace="shop", everywhere=True, all_=False) == Selection(None)
    assert select(None, namespace="shop", selector="x=y", all_=False) == Selection("shop", (), "x=y")
    assert select(["a"], namespace="shop").only == ("shop", "a")
    assert select(["a", "b"], namespace="shop").only is None
    assert str(Selection(None, (), "x=y")) == "in any namespace with labels x=y"

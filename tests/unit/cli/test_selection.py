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


@pytest.mark.parametrize("argument", ["deploy/a", "a/b/c", "rsp/", "/a", "rsp.apps/a"])
def test_what_is_no_policy_is_refused(argument: str) -> None:
    with pytest.raises(UsageError, match="is not a policy"):
        select([argument], namespace="shop")


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

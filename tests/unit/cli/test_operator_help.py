"""`resilience-operator --help`: every option has its default, and every command its exit codes."""

from __future__ import annotations

import re

import pytest
import typer.main
from typer.testing import CliRunner

from resilience_operator.cli.kubectl import app as plugin
from resilience_operator.cli.operator import app
from resilience_operator.runtime.config import Config

_COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
OPTIONS = {p.name: str(p.help) for p in _COMMANDS["run"].params if p.name != "help"}


def written_as(default: object) -> str:
    """A default as the help writes it."""
    if isinstance(default, bool):
        return "on" if default else "off"
    return {None: "none", (): "all namespaces"}.get(default) or str(default)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("name", OPTIONS)
def test_each_option_names_its_default(name: str) -> None:
    [written] = re.findall(r"[Dd]efault[^:]*: ([^.;)]+(?:\.\d+)*)", OPTIONS[name])
    field = Config.model_fields.get({"namespace": "namespaces"}.get(name, name))
    if field is not None and name != "kubeconfig":
        assert written == written_as(field.default)


@pytest.mark.parametrize("command", ["run", "config"])
def test_commands_of_the_operator_have_exit_codes_and_examples(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"]).stdout
    assert "Exit codes: " in shown
    assert "Examples:" in shown


@pytest.mark.parametrize("command", ["status", "explain", "history", "pause", "resume", "convert", "lint"])
def test_commands_of_the_plugin_have_exit_codes_and_examples(command: str) -> None:
    shown = CliRunner().invoke(plugin, [command, "--help"]).stdout
    assert "Exit codes: " in shown
    assert "Examples:" in shown

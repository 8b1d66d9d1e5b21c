"""Every command of README and docs is one: each is run on a cluster (tests/e2e/test_documented_commands.py), or checked
here by the parser that would read it, or named in tests/support/commands.py with the reason why not."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import click
import pytest
import typer.main

from resilience_operator.cli import kubectl, operator
from tests.support.commands import PAGES, commands, parts, reason_not_run, runs_on_a_cluster
from tests.support.install import ROOT

SHOWN = {part: str(command) for page in PAGES for command in commands(page) for part in parts(command.text)}
FILTERS = ("jq", "grep", "head", "tee")
"""What may stand behind a pipe."""
APPS = {"kubectl resilience": kubectl.app, "kubectl-resilience": kubectl.app, "resilience-operator": operator.app}
TARGETS = set(re.findall(r"^([a-z][a-z-]*)(?: [a-z-]+)*:", (ROOT / "Makefile").read_text(), re.MULTILINE))
CHECKED = [text for text in SHOWN if not runs_on_a_cluster(text) and not reason_not_run(text)]


def parse(app: typer.Typer, arguments: list[str]) -> None:
    """Read arguments as the command would, and run nothing. Placeholders in capitals stand for names."""
    group = typer.main.get_command(app)
    name, *rest = arguments
    commands: dict[str, click.Command] = group.commands  # type: ignore[attr-defined]
    commands[name].make_context(name, rest)


@cache
def help_of(module: str) -> str:
    """What a module says of its options, with all subcommands' names."""
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower(), "it has no --help, and was run instead"
    return done.stdout


def check_pytest(words: list[str]) -> None:
    """Paths are there; a plugin or package that is named can be imported by name."""
    for word in words:
        if word.startswith("tests/"):
            assert (ROOT / word.partition("::")[0]).exists(), word


@pytest.mark.parametrize("text", CHECKED, ids=str)
def test_is_understood(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [word for word in shlex.split(text) if not re.fullmatch(r"[A-Z_]+=\S+", word)]
    words[0] = words[0].removeprefix(".venv/bin/")
    app = next((APPS[name] for name in APPS if text.startswith(name)), None)
    if app is not None:
        # Files that the command would read.
        monkeypatch.chdir(tmp_path)
        for word in words:
            if re.search(r"\.(yaml|json|gz)$", word):
                (tmp_path / word).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / word.replace("*", "x")).touch()
        parse(app, words[2 if words[0] == "kubectl" else 1 :])
    elif words[0] == "make":
        assert [word for word in words[1:] if word in TARGETS], f"make knows no {words[1:]}"
    elif words[:2] in (["python", "-m"], ["python3", "-m"]):
        options = {word.partition("=")[0] for word in words[3:] if word.startswith("--")}
        assert all(option in help_of(words[2]) for option in options)
        assert help_of(words[2])
    elif words[0] == "pytest":
        check_pytest(words)
    else:
        assert words[0] in FILTERS, f"{SHOWN[text]}: nobody knows how to check this; see tests/support/commands.py"


def test_pages_show_commands() -> None:
    """Nothing passes for want of being found."""
    assert len([text for text in SHOWN if runs_on_a_cluster(text)]) >= 10
    assert len(CHECKED) >= 20

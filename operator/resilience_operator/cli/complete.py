"""Completion, as kubectl asks for it: it runs `kubectl_complete-resilience` with what was typed so far.

One suggestion a line, then a line with a colon and a number that tells the shell what to do
(k8s.io/kubectl/pkg/cmd/plugin_completion.go; the numbers are cobra's ShellCompDirective).
"""

from __future__ import annotations

import sys
from typing import Any

import typer

from resilience_operator.cli.console import Output
from resilience_operator.cli.kubectl import app

NO_FILES = 4
"""Suggest nothing but what was printed."""
FILES = 0
"""Suggest files, where nothing was printed."""

_CHOICES = dict.fromkeys(("-o", "--output"), tuple(form.value for form in Output))


def suggestions(words: list[str]) -> tuple[list[str], int]:
    """What may stand in place of the last word, which may be empty, and the directive."""
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    *before, incomplete = words or [""]
    if not before:
        found = {name: command.get_short_help_str(80) for name, command in commands.items()}
    elif before[0] not in commands:
        return [], NO_FILES
    else:
        options = {name: p for p in commands[before[0]].params for name in p.opts if name.startswith("-")}
        if incomplete.startswith("-"):
            found = {name: str(option.help or "") for name, option in options.items()}
        else:
            found = dict.fromkeys(_CHOICES.get(before[-1], ()), "")
    plain = [f"{name}\t{told}".rstrip() for name, told in found.items() if str(name).startswith(incomplete)]
    return plain, NO_FILES if found else FILES


def main() -> None:
    """The script's entry."""
    found, directive = suggestions(sys.argv[1:])
    for suggestion in found:
        print(suggestion)
    print(f":{directive}")


if __name__ == "__main__":
    main()

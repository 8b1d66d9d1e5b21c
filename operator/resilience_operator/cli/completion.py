"""Shell completion for kubectl, which runs `kubectl_complete-resilience` with the current arguments.

The output is one suggestion per line, then a line with a colon and a number, the directive for the shell
(k8s.io/kubectl/pkg/cmd/plugin_completion.go; the numbers are cobra's ShellCompDirective).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from enum import Enum
from itertools import pairwise
from typing import Any

import typer

from resilience_operator.cli.kubectl import app
from resilience_operator.cli.output.formats import CHOICES

NO_FILES = 4
"""Directive: suggest only what was printed."""
FILES = 0
"""Directive: suggest files if nothing was printed."""


TIMEOUT = 3.0
"""Seconds for reading the names of policies: a person waits for the completion."""


def suggestions(words: list[str]) -> tuple[list[str], int]:
    """The suggestions for the last word, which may be empty, and the directive."""
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
        elif before[-1] in options and not getattr(options[before[-1]], "is_flag", False):
            found = dict.fromkeys(_choices(options[before[-1]]), "")
        elif any(p.name in ("name", "names") for p in commands[before[0]].params):
            return [name for name in _policies(before) if name.startswith(incomplete)], NO_FILES
        else:
            found = {}
    plain = [f"{name}\t{help_text}".rstrip() for name, help_text in found.items() if str(name).startswith(incomplete)]
    return plain, NO_FILES if found else FILES


def _choices(option: Any) -> list[str]:
    if option.name == "output" and option.metavar:
        return [choice.partition("=")[0] + ("=" if "=" in choice else "") for choice in CHOICES.split("|")]
    kind = option.type_descriptor.annotation
    return [str(form.value) for form in kind] if isinstance(kind, type) and issubclass(kind, Enum) else []


_PASSED_ON = ("--kubeconfig", "--context", "-n", "--namespace")


def _policies(before: list[str]) -> list[str]:
    """Names of the policies in the given cluster and namespace; none if they cannot be read.

    Asks kubectl, which starts in a fraction of the time that the Python client takes.
    """
    given = dict(pairwise(before))
    options = [
        f"{option}={value}" if option != "-n" else f"--namespace={value}"
        for option, value in given.items()
        if option in _PASSED_ON
    ]
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        return []
    command = [kubectl, "get", "resiliencepolicies.resilience-operator.io", "-o", "name", *options]
    try:
        found = subprocess.run(  # noqa: S603 - the arguments are one option each
            command, capture_output=True, text=True, timeout=TIMEOUT, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, UnicodeDecodeError, subprocess.SubprocessError):  # a message would garble the command line
        return []
    return [line.rpartition("/")[2] for line in found.stdout.splitlines()]


def main() -> None:
    """The entry point of the script."""
    found, directive = suggestions(sys.argv[1:])
    for suggestion in found:
        print(suggestion)
    print(f":{directive}")


if __name__ == "__main__":
    main()

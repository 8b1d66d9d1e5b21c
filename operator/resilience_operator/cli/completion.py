"""Shell completion for kubectl, which runs `kubectl_complete-resilience` with the current arguments.

The output is one suggestion per line, then a line with a colon and a number, the directive for the shell
(k8s.io/kubectl/pkg/cmd/plugin_completion.go; the numbers are cobra's ShellCompDirective).
"""

from __future__ import annotations

import asyncio
import sys
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer

from resilience_operator.cli.common.cluster import Access, default_namespace, with_kube
from resilience_operator.cli.kubectl import app
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.writes.policies import list_policies
from resilience_operator.resilience import Deadline

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
        elif any(p.name == "name" for p in commands[before[0]].params):
            return [name for name in _policies(before) if name.startswith(incomplete)], NO_FILES
        else:
            found = {}
    plain = [f"{name}\t{help_text}".rstrip() for name, help_text in found.items() if str(name).startswith(incomplete)]
    return plain, NO_FILES if found else FILES


def _choices(option: Any) -> list[str]:
    kind = option.type_descriptor.annotation
    return [str(form.value) for form in kind] if isinstance(kind, type) and issubclass(kind, Enum) else []


def _policies(before: list[str]) -> list[str]:
    """Names of the policies in the given cluster and namespace; none if they cannot be read."""
    given = dict(pairwise(before))
    file = given.get("--kubeconfig")
    access = Access(Path(file) if file else None, given.get("--context"))
    namespace = given.get("-n") or given.get("--namespace") or default_namespace(access)

    async def read(kube: KubeClient) -> list[str]:
        async with asyncio.timeout(TIMEOUT):
            found = await list_policies(kube, namespace, deadline=Deadline.after(TIMEOUT))
        return [str(body["metadata"]["name"]) for body in found.items]

    try:
        return with_kube(access, read)
    except Exception:  # commands report errors; here a message would garble the command line
        return []


def main() -> None:
    """The entry point of the script."""
    found, directive = suggestions(sys.argv[1:])
    for suggestion in found:
        print(suggestion)
    print(f":{directive}")


if __name__ == "__main__":
    main()

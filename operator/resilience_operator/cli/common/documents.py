"""Reader for YAML files with line numbers; several documents per file, and standard input."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from resilience_operator.api.v1alpha1 import KIND
from resilience_operator.cli.common.console import UsageError

STDIN = "-"
_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document. file: the name given; node: its syntax tree, which has the line numbers."""

    file: str
    content: Any
    node: yaml.Node

    def line_of(self, path: str) -> int:
        """The line, from 1, of a path such as `spec.rules[0].when`; for a missing part, the line of its parent."""
        node = self.node
        line = node.start_mark.line
        for name, index in _PART.findall(path):
            if isinstance(node, yaml.MappingNode) and name:
                found = next(((k, v) for k, v in node.value if k.value == name), None)
                if found is None:
                    break
                key, node = found
                line = key.start_mark.line
            elif isinstance(node, yaml.SequenceNode) and index and int(index) < len(node.value):
                node = node.value[int(index)]
                line = node.start_mark.line
            else:
                break
        return int(line) + 1


def read_text(file: str) -> str:
    """Read a file, or standard input for `-`. Raises UsageError."""
    try:
        return sys.stdin.read() if file == STDIN else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None


def documents(file: str) -> Iterator[Document]:
    """The documents of a file, without empty ones. Raises UsageError if it is not valid YAML."""
    text = read_text(file)
    try:
        for node in yaml.compose_all(text, Loader=yaml.SafeLoader):
            loader = yaml.SafeLoader("")
            try:
                content = loader.construct_document(node)
            finally:
                loader.dispose()
            if content is not None:
                yield Document(file, content, node)
    except yaml.YAMLError as error:
        raise UsageError(f"{file} is not valid YAML: {_first_line(error)}") from None


def _first_line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"line {mark.line + 1}: {problem}" if mark is not None else str(problem)


def only_policy(file: str) -> dict[str, Any]:
    """The only policy in a file. Raises UsageError if there is none, or more than one."""
    found = [d.content for d in documents(file) if isinstance(d.content, dict) and d.content.get("kind") == KIND]
    if len(found) != 1:
        count = f"{len(found) or 'no'} {KIND}{'s' if len(found) > 1 else ''}"
        raise UsageError(f"{file} contains {count}: use a file with exactly one")
    return dict(found[0])

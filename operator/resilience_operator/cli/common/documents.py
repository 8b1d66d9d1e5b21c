"""Reader for YAML files with line numbers; several documents per file, and standard input."""

from __future__ import annotations

import codecs
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
MOST_BYTES = 64 * 2**20
"""The largest file that is read: a device may never end."""
INVALID = "is not valid YAML"
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

    def flat(self) -> Iterator[Document]:
        """The document; of a list, as kubectl prints it, the objects in it."""
        content = self.content
        items = content.get("items") if isinstance(content, dict) else None
        if not isinstance(items, list) or not str(content.get("kind", "")).endswith("List"):
            yield self
            return
        nodes: list[yaml.Node] = next((v.value for k, v in self.node.value if k.value == "items"), [])
        for item, node in zip(items, nodes, strict=False):
            yield from Document(self.file, item, node).flat()


class FileError(UsageError):
    """A file, or one of its documents, is not valid YAML. problem: without the place; line: from 1; 0 if unknown."""

    def __init__(self, file: str, fault: str, detail: str = "", line: int = 0) -> None:
        super().__init__(f"{file} {_joined(fault, f'line {line}' if line else '', detail)}")
        self.problem = _joined(fault, detail)
        self.line = line


def _joined(*parts: str) -> str:
    return ": ".join(filter(None, parts))


def read_text(file: str) -> str:
    """Read a file, or standard input for `-`: UTF-8, or UTF-16 with a byte order mark. Raises UsageError."""
    try:
        if file == STDIN:
            data: bytes = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: the name has a null character
        raise UsageError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > MOST_BYTES:
        raise UsageError(f"cannot read {file}: it has more than {MOST_BYTES // 2**20} MiB")
    # PowerShell redirects in UTF-16.
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"cannot read {file}: it is not text in UTF-8 or UTF-16") from None


def documents(file: str, errors: list[FileError] | None = None) -> Iterator[Document]:
    """The documents of a file, without empty ones. Raises UsageError if it cannot be read or is not valid YAML.

    errors: collects FileErrors instead, so that the other documents are read.
    """
    text = read_text(file)
    try:
        for node in _nodes(file, text):
            content = _content(file, node, errors, _hint(text))
            if content is not None:
                yield Document(file, content, node)
    except FileError as error:
        if errors is None:
            raise
        errors.append(error)


def _nodes(file: str, text: str) -> Iterator[yaml.Node]:
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        while loader.check_node():
            node = loader.get_node()
            if node is not None:
                yield node
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        detail = f"{_first_line(error)}{_hint(text)}"
        raise FileError(file, INVALID, detail, mark.line + 1 if mark is not None else 0) from None
    except RecursionError:
        raise FileError(file, "is nested too deeply") from None
    finally:
        if loader is not None:
            loader.dispose()


def _hint(text: str) -> str:
    return "; it looks like a template: render it first, like `helm template`" if "{{" in text else ""


def _content(file: str, node: yaml.Node, errors: list[FileError] | None, hint: str) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    except RecursionError:
        found = FileError(file, "is nested too deeply", line=node.start_mark.line + 1)
    except (yaml.YAMLError, ValueError, TypeError, ArithmeticError, LookupError) as error:
        # Values such as `2026-13-45` are dates to YAML, and raise errors of their own.
        mark = getattr(error, "problem_mark", None) or node.start_mark
        known = isinstance(error, yaml.YAMLError)
        problem = _first_line(error) if known else "a date or number is out of range: put it in quotes if it is text"
        found = FileError(file, INVALID, f"{problem}{hint}", mark.line + 1)
    finally:
        loader.dispose()
    if errors is None:
        raise found
    errors.append(found)
    return None


def _first_line(error: Exception) -> str:
    return str(getattr(error, "problem", None) or str(error).splitlines()[0])


def only_policy(file: str) -> dict[str, Any]:
    """The only policy in a file. Raises UsageError if there is none, or more than one."""
    found = [d.content for d in documents(file) if isinstance(d.content, dict) and d.content.get("kind") == KIND]
    if len(found) != 1:
        count = f"{len(found) or 'no'} {KIND}{'s' if len(found) > 1 else ''}"
        raise UsageError(f"{file} contains {count}: use a file with exactly one")
    return dict(found[0])

"""Finds keys that are written twice, and policies with the same name or target."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from resilience_operator.cli.common.documents import Document
from resilience_operator.cli.lint.problem import LintProblem


def duplicate_keys(root: yaml.Node) -> Iterator[tuple[str, int]]:
    """Path and line of each key that is repeated in its mapping. YAML takes the last value without a word."""
    todo: list[tuple[str, yaml.Node]] = [("", root)]
    done: set[int] = set()  # an alias is the same node again, perhaps below itself
    while todo:
        path, node = todo.pop()
        if id(node) in done:
            continue
        done.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            todo += [(f"{path}[{n}]", one) for n, one in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue
                below = f"{path}.{key.value}" if path else str(key.value)
                if key.value in seen and key.value != "<<":
                    yield below, key.start_mark.line + 1
                seen.add(key.value)
                todo.append((below, value))


class DuplicatePolicies:
    """Finds policies with the same name or the same target: errors in one file, otherwise warnings.

    Several files may be variants, such as for two clusters.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, ...], tuple[str, int]] = {}

    def add(self, document: Document) -> Iterator[LintProblem]:
        """Problems of one more policy. Fields that are invalid are reported elsewhere."""
        content = document.content
        metadata, spec = content.get("metadata"), content.get("spec")
        metadata = metadata if isinstance(metadata, dict) else {}
        reference = spec.get("targetRef") if isinstance(spec, dict) else None
        namespace = str(metadata.get("namespace") or "")
        keys: list[tuple[str, tuple[str, ...], str]] = []
        if metadata.get("name"):
            keys.append(("metadata.name", ("name", namespace, str(metadata["name"])), "has the same name as"))
        if isinstance(reference, dict) and reference.get("name"):
            group = str(reference.get("apiVersion", "")).rpartition("/")[0]
            target = ("target", namespace, group, str(reference.get("kind")), str(reference["name"]))
            keys.append(("spec.targetRef", target, "has the same target as"))
        repeated = False
        for path, key, text in keys:
            line = document.line_of(path)
            file, first = self._seen.setdefault(key, (document.file, line))
            if repeated or (file, first) == (document.file, line):
                continue
            repeated = True  # the same policy twice has the same target, too
            same = file == document.file
            advice = "keep one of them" if same else "keep one of them, unless they are for different clusters"
            yield LintProblem(
                document.file, line, path, f"{text} the policy in {file}:{first}: {advice}", warning=not same
            )

"""Fills PromQL templates, so that a value is never parsed as syntax.

There are two kinds of templates. In presets, `{{scope}}` is filled with label matchers built here. In custom queries, a
placeholder may be inside any kind of PromQL string, quoted by ", ' or `. No escaping is valid in all three, so only
values that need none are accepted: names that Kubernetes allows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from resilience_operator.promql.errors import TemplateError, quoted
from resilience_operator.promql.scanner import MOST_CHARACTERS
from resilience_operator.signals.model import SignalRequest

PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
"""DNS-1123 subdomain: the widest form of the name of a namespace, workload or ReplicaSet."""

_REGEX_SPECIAL = re.compile(r"([.^$*+?()\[\]{}|\\])")
GENERATED_BASE = 58
"""Maximum length of the base of a generated name. The API server truncates it there and adds five random characters.
https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apiserver/pkg/storage/names/generate.go
"""


def regex_literal(value: str) -> str:
    """A regular expression that matches only `value`. Has no backslash, so it is valid in any string literal."""
    return _REGEX_SPECIAL.sub(lambda m: "\\\\" if m[1] == "\\" else "[\\^]" if m[1] == "^" else f"[{m[1]}]", value)


def duration(seconds: float) -> str:
    """A PromQL duration: `120s`, `2500ms`. Raises TemplateError if it is not positive."""
    millis = round(seconds * 1000)
    if millis <= 0:
        raise TemplateError("the window must be longer than 0 s")
    return f"{millis // 1000}s" if millis % 1000 == 0 else f"{millis}ms"


def matchers(label: str, values: Iterable[str], suffix: str = "") -> str:
    """A label matcher for any of `values`, each followed by the regular expression `suffix`."""
    found = sorted(set(values))
    if len(found) == 1 and not suffix:
        return f"{label}={quoted(found[0])}"
    either = "|".join(regex_literal(value) for value in found)
    return f"{label}=~" + quoted(f"(?:{either}){suffix}" if suffix else either)


def pod_name_regex(owners: Iterable[str], name: str) -> str:
    """A regular expression for the pod names of `owners`; of workload `name` if there is no owner."""
    bases = sorted({pod_base(owner) for owner in owners})
    if not bases:
        return f"{regex_literal(name)}-.+"
    either = "|".join(regex_literal(base) for base in bases)
    return f"(?:{either})[^-]+" if len(bases) > 1 else f"{either}[^-]+"


def pod_base(owner: str) -> str:
    """The common prefix of the names of an owner's pods, up to the last suffix."""
    return f"{owner}-"[:GENERATED_BASE]


def owner_of_pod(pod: str) -> str:
    """A pod's name without its last `-suffix`, as computed by the presets' label_replace."""
    return pod.rpartition("-")[0]


def owner_label(owner: str) -> str:
    """The owner as queries see it: `owner` itself, unless its pods' names are truncated."""
    return owner if len(owner) < GENERATED_BASE else owner_of_pod(pod_base(owner) + "xxxxx")


def fill(template: str, values: Mapping[str, str]) -> str:
    """Replace every placeholder. Raises TemplateError for one that is not in `values`."""

    def value(match: re.Match[str]) -> str:
        try:
            return values[match[1]]
        except KeyError:
            known = ", ".join("{{" + name + "}}" for name in sorted(values))
            raise TemplateError(f"unknown placeholder {match[0]}: use one of {known}") from None

    return PLACEHOLDER.sub(value, template)


def fill_only(template: str, name: str, value: str) -> str:
    """Replace one placeholder and leave the others."""
    return PLACEHOLDER.sub(lambda match: value if match[1] == name else match[0], template)


def with_examples(template: str) -> str:
    """The query with each placeholder replaced by something of its form, so that it can be parsed."""
    return PLACEHOLDER.sub(lambda match: "2m" if match[1] == "window" else "x", template)


def fill_custom(template: str, request: SignalRequest) -> str:
    """A custom query with the placeholders of its target filled in. Raises TemplateError."""
    for value in (request.namespace, request.name, *request.owners):
        if not _NAME.fullmatch(value):
            raise TemplateError(f"{value[:80]!r} is not a valid name in a query")
    values = {
        "namespace": request.namespace,
        "name": request.name,
        "pods": pod_name_regex(request.owners, request.name),
        "window": duration(request.signal.window_seconds),
    }
    length = len(template) + sum(len(values.get(match[1], "")) for match in PLACEHOLDER.finditer(template))
    if length > 2 * MOST_CHARACTERS:
        # Check before filling: a long regular expression of pod names may occur hundreds of times.
        raise TemplateError(
            f"the query has about {length} characters with its placeholders filled in: use at most {MOST_CHARACTERS}"
        )
    return fill(template, values)


def placeholders(template: str) -> set[str]:
    """The names of the placeholders in a template."""
    return set(PLACEHOLDER.findall(template))

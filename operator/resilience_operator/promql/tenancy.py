"""A policy's own query cannot leave its tenant: the namespace of the policy.

Every vector selector of the parsed query is given one more matcher, `namespace="…"`. Matchers of a selector must all
hold, so that whatever else stands in it can only narrow it further. The result is printed anew from the tree, so that
nothing reaches the server but what was understood; it is read once more and each selector is looked at before it is
sent. A query that cannot be read is refused.

Presets stay as they are. Their text is the operator's, with no word of an author's in it; one answer about many
namespaces serves many policies, and a policy is handed only what stands under its own namespace and its own pods'
owners. The families whose series cannot be told apart by namespace are refused under tenancy (`collect`).
"""

from __future__ import annotations

from collections.abc import Mapping

import promql_parser as p

from resilience_operator.promql import syntax
from resilience_operator.promql.errors import TemplateError, quoted

_REACHES_OUT: Mapping[str, str] = {"info": "it reads series that no selector of the query names"}
"""Functions that read more than their arguments, and why they are refused."""


def enforce(query: str, label: str, value: str) -> str:
    """`query` with `label="value"` in every selector. Raises TemplateError for one that cannot be held to it."""
    tree = syntax.parse(query)
    for name in syntax.functions(tree):
        if name in _REACHES_OUT:
            raise TemplateError(f"{name}() cannot be held to {label}={quoted(value)}: {_REACHES_OUT[name]}")
    matcher = f"{syntax.label(label)}={quoted(value)}"
    text = syntax.text(tree, lambda selector: ",".join([*syntax.matchers_of(selector), matcher]))
    _verify(text, label, value)
    return text


def _verify(text: str, label: str, value: str) -> None:
    """Read what will be sent: every selector must hold the matcher. Raises TemplateError."""
    for selector in syntax.selectors(syntax.parse_own(text)):
        if selector.matchers.or_matchers or not any(
            m.name == label and m.op == p.MatchOp.Equal and m.value == value for m in selector.matchers.matchers
        ):
            raise TemplateError(f"the query cannot be held to {label}={quoted(value)}")

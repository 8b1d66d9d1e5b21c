"""Restricts a custom query to its tenant: the namespace of the policy.

Every vector selector of the parsed query gets one more matcher, `namespace="…"`. All matchers of a selector must hold,
so the others can only narrow it further. The query is printed from the tree, so that only syntax that was understood
reaches the server. The result is parsed again, and each selector is checked before it is sent. A query that cannot be
parsed is rejected.

Presets are not rewritten. Their text is the operator's and contains nothing from an author. One answer for many
namespaces serves many policies, and a policy receives only the series of its own namespace and its own pods' owners.
Families whose series cannot be attributed to a namespace are rejected under tenancy (`signals.query.planner`).
"""

from __future__ import annotations

from collections.abc import Mapping

import promql_parser as p

from resilience_operator.promql import syntax
from resilience_operator.promql.errors import TemplateError, quoted

_FORBIDDEN_FUNCTIONS: Mapping[str, str] = {"info": "it reads series that no selector of the query names"}
"""Functions that read more than their arguments, and why they are rejected."""


def enforce(query: str, label: str, value: str) -> str:
    """`query` with `label="value"` in every selector. Raises TemplateError if it cannot be restricted."""
    tree = syntax.parse(query)
    for name in syntax.functions(tree):
        if name in _FORBIDDEN_FUNCTIONS:
            raise TemplateError(
                f"{name}() cannot be restricted to {label}={quoted(value)}: {_FORBIDDEN_FUNCTIONS[name]}"
            )
    matcher = f"{syntax.label(label)}={quoted(value)}"
    text = syntax.text(tree, lambda selector: ",".join([*syntax.matchers_of(selector), matcher]))
    _verify(text, label, value)
    return text


def _verify(text: str, label: str, value: str) -> None:
    """Parse the text to send and check that every selector has the matcher. Raises TemplateError."""
    for selector in syntax.selectors(syntax.parse_own(text)):
        if selector.matchers.or_matchers or not any(
            m.name == label and m.op == p.MatchOp.Equal and m.value == value for m in selector.matchers.matchers
        ):
            raise TemplateError(f"the query cannot be restricted to {label}={quoted(value)}")

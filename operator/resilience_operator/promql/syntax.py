"""Parses PromQL into a tree and prints a tree as PromQL.

promql-parser parses. The printer is our own: the size of the library's output grows quadratically with the nesting, and
that of its `transform` even faster. The size of a query is limited before it is parsed (`scanner`). The printer rejects
node types that it does not know, so that new grammar cannot bypass the checks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import promql_parser as p

from resilience_operator.promql.errors import TemplateError, quoted
from resilience_operator.promql.scanner import measure

_BARE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_MATCH = ((p.MatchOp.Equal, "="), (p.MatchOp.NotEqual, "!="), (p.MatchOp.Re, "=~"), (p.MatchOp.NotRe, "!~"))
"""Not a mapping: the library's match operators can be compared, but not hashed."""

_MILLISECOND = timedelta(milliseconds=1)

Matchers = Callable[[p.VectorSelector], str]
"""Returns the text between the braces of a selector."""


def parse(query: str) -> p.Expr:
    """The syntax tree of a query. Raises TemplateError with the parser's message."""
    measure(query)
    return parse_own(query)


def parse_own(query: str) -> p.Expr:
    """Parse without a size limit, for queries printed here. Raises TemplateError."""
    try:
        found: p.Expr = p.parse(query)
    except ValueError as error:
        raise TemplateError(f"the query cannot be read: {' '.join(str(error).split())[:200]}") from None
    except BaseException as error:
        raise _panic(error) from None
    return found


def _panic(error: BaseException) -> BaseException:
    """A TemplateError for a parser panic, which is not an Exception; any other error unchanged."""
    if type(error).__name__ == "PanicException":
        return TemplateError("the query cannot be read: the parser failed on it")
    return error


def selectors(tree: p.Expr) -> Iterator[p.VectorSelector]:
    """Every vector selector below `tree`, including those of ranges. Raises TemplateError."""
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, p.VectorSelector):
            yield node
        else:
            todo += _below(node)


def functions(tree: p.Expr) -> Iterator[str]:
    """The names of the functions called below `tree`. Raises TemplateError."""
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, p.Call):
            yield node.func.name
        todo += _below(node)


def _below(node: p.Expr) -> list[p.Expr]:
    match node:
        case p.BinaryExpr():
            return [node.lhs, node.rhs]
        case p.ParenExpr() | p.UnaryExpr() | p.SubqueryExpr():
            return [node.expr]
        case p.AggregateExpr():
            return [node.expr] if node.param is None else [node.param, node.expr]
        case p.Call():
            return list(node.args)
        case p.MatrixSelector():
            return [node.vector_selector]
        case p.VectorSelector() | p.NumberLiteral() | p.StringLiteral():
            return []
        case _:
            raise TemplateError(f"the query has a {type(node).__name__}, which is not supported")


def matchers_of(selector: p.VectorSelector) -> list[str]:
    """The matchers of a selector, including the metric name. Raises TemplateError."""
    if selector.matchers.or_matchers:
        raise TemplateError("`or` between matchers is not supported: write `or` between selectors")
    found = [f"__name__={quoted(selector.name)}"] if selector.name else []
    return found + [f"{label(m.name)}{_sign(m.op)}{quoted(m.value)}" for m in selector.matchers.matchers]


def _sign(op: p.MatchOp) -> str:
    return next(sign for known, sign in _MATCH if known == op)


def label(name: str) -> str:
    """A label name, quoted if necessary."""
    return name if _BARE.fullmatch(name) else quoted(name)


def text(tree: p.Expr, matchers: Matchers) -> str:
    """Print a tree, with `matchers` between the braces of each selector. Raises TemplateError."""
    try:
        return _text(tree, matchers)
    except (OverflowError, ValueError) as error:
        if isinstance(error, TemplateError):
            raise
        raise TemplateError("the query has a time that is out of range") from None
    except BaseException as error:
        raise _panic(error) from None


def _text(node: p.Expr, matchers: Matchers) -> str:
    match node:
        case p.NumberLiteral():
            return _number(node.val)
        case p.StringLiteral():
            return quoted(node.val)
        case p.VectorSelector():
            return f"{{{matchers(node)}}}{_when(node)}"
        case p.MatrixSelector():
            selector = node.vector_selector
            return f"{{{matchers(selector)}}}[{_duration(node.range)}]{_when(selector)}"
        case p.SubqueryExpr():
            step = _duration(node.step) if node.step is not None else ""
            assert node.range is not None
            return f"{_text(node.expr, matchers)}[{_duration(node.range)}:{step}]{_when(node)}"
        case p.ParenExpr():
            return f"({_text(node.expr, matchers)})"
        case p.UnaryExpr():
            return f"-{_text(node.expr, matchers)}"
        case p.BinaryExpr():
            left, right = _text(node.lhs, matchers), _text(node.rhs, matchers)
            return f"{left} {node.op}{_joining(node.modifier)} {right}"
        case p.AggregateExpr():
            parts = ([] if node.param is None else [node.param]) + [node.expr]
            return f"{node.op}{_grouping(node.modifier)} ({_list(parts, matchers)})"
        case p.Call():
            return f"{node.func.name}({_list(node.args, matchers)})"
        case _:
            raise TemplateError(f"the query has a {type(node).__name__}, which is not supported")


def _list(nodes: list[Any], matchers: Matchers) -> str:
    return ", ".join([_text(node, matchers) for node in nodes])


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return repr(value) if math.isfinite(value) else ("Inf" if value > 0 else "-Inf")


def _duration(span: timedelta) -> str:
    millis = span // _MILLISECOND
    return f"{millis}ms" if millis >= 0 else f"-{-millis}ms"


def _when(node: p.VectorSelector | p.SubqueryExpr) -> str:
    """The `@` and `offset` modifiers."""
    found = ""
    if node.at is not None:
        match node.at.type:
            case p.AtModifierType.Start:
                found += " @ start()"
            case p.AtModifierType.End:
                found += " @ end()"
            case _:
                assert node.at.at is not None
                found += f" @ {node.at.at.timestamp():.3f}"
    if node.offset is not None:
        found += f" offset {_duration(node.offset)}"
    return found


def _labels(names: list[str]) -> str:
    return f"({', '.join(label(name) for name in names)})"


def _joining(modifier: p.BinModifier | None) -> str:
    if modifier is None:
        return ""
    if modifier.fill_values.lhs is not None or modifier.fill_values.rhs is not None:
        raise TemplateError("`fill` is not supported")
    found = " bool" if modifier.return_bool else ""
    if modifier.matching is not None:
        word = "on" if modifier.matching.type == p.LabelModifierType.Include else "ignoring"
        found += f" {word} {_labels(modifier.matching.labels)}"
    if modifier.card in (p.VectorMatchCardinality.ManyToOne, p.VectorMatchCardinality.OneToMany):
        side = "left" if modifier.card == p.VectorMatchCardinality.ManyToOne else "right"
        found += f" group_{side} {_labels(modifier.group_labels or [])}"
    return found


def _grouping(modifier: p.AggModifier | None) -> str:
    if modifier is None:
        return ""
    word = "by" if modifier.type == p.AggModifierType.By else "without"
    return f" {word} {_labels(modifier.labels)}"

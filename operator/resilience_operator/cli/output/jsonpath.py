r"""JSONPath templates as in `kubectl -o jsonpath=`: https://kubernetes.io/docs/reference/kubectl/jsonpath/.

A template is text with expressions in braces: `{.name}{"\n"}`. Supported: fields, `['field']`, indexes, slices, `*`,
`..field`, filters `[?(@.a == "b")]`, and `{range EXPRESSION}…{end}`. A missing field prints nothing. Why own code:
docs/adr/0037-own-jsonpath.md.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from resilience_operator.cli.common.errors import UsageError

Step = Callable[[Any], Iterator[Any]]
"""Yields the values that one step of a path selects in a value."""

_STEP = re.compile(
    r"""(?P<deep>\.\.)?\.?(?P<field>\*|(?:\\.|[^\s.\[\](){}'"\\*=<>!])+)"""
    r"""|\[\?\((?P<filter>(?:'[^']*'|"(?:\\.|[^"\\])*"|[^'"])+?)\)\]"""
    r"""|\[(?P<quoted>'[^']*'|"[^"]*")\]"""
    r"""|\[(?P<slice>-?\d*(?::-?\d*){1,2}|-?\d+|\*)\]"""
)
_FILTER = re.compile(r"@(?P<path>\S*?)\s*(?:(?P<sign>==|!=|<=|>=|<|>)\s*(?P<value>.+))?")
_COMPARED = {
    "==": operator.eq, "!=": operator.ne, "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_MOST_NESTED = 32


@dataclass(frozen=True, slots=True)
class _Path:
    """The steps of an expression. rooted: it begins with `$`, which is the whole document even in a range."""

    steps: tuple[Step, ...]
    rooted: bool = False


@dataclass(frozen=True, slots=True)
class _Range:
    """`{range PATH}…{end}`."""

    path: _Path
    body: tuple[_Part, ...]


_Part = str | _Path | _Range


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A parsed template."""

    parts: tuple[_Part, ...]

    def render(self, document: Any) -> str:
        """Fill the template with values of a document."""
        return "".join(_render(self.parts, document, document))


def parse_template(template: str) -> JsonPath:
    """Parse a template. Without braces, the whole text is one expression. Raises UsageError."""
    text = template if "{" in template or not template else "{" + template + "}"
    tokens = list(_tokens(text))
    parts, rest = _parts(tokens, 0)
    if rest:
        raise UsageError(f"the JSONPath template {template!r} has an {{end}} without {{range}}")
    return JsonPath(parts)


def _tokens(text: str) -> Iterator[tuple[bool, str]]:
    """Pieces of a template: whether it is an expression, and the text. Braces in quotes do not count."""
    at = 0
    while at < len(text):
        start = text.find("{", at)
        if start < 0:
            yield False, text[at:]
            return
        if start > at:
            yield False, text[at:start]
        end, quote = start + 1, ""
        while end < len(text) and (quote or text[end] != "}"):
            if quote and text[end] == "\\":
                end += 1
            elif quote:
                quote = "" if text[end] == quote else quote
            elif text[end] in "'\"":
                quote = text[end]
            end += 1
        if end >= len(text):
            raise UsageError(f"the JSONPath template {text!r} has an opening brace without a closing one")
        yield True, text[start + 1 : end].strip()
        at = end + 1


def _parts(tokens: list[tuple[bool, str]], depth: int) -> tuple[tuple[_Part, ...], bool]:
    """The parts up to `{end}` or the end of the template, and whether `{end}` was found. Consumes the tokens."""
    if depth > _MOST_NESTED:
        raise UsageError(f"the JSONPath template has more than {_MOST_NESTED} nested ranges")
    parts: list[_Part] = []
    while tokens:
        expression, text = tokens.pop(0)
        if not expression:
            parts.append(text)
        elif text == "end":
            return tuple(parts), True
        elif text == "range" or text.startswith("range "):
            body, ended = _parts(tokens, depth + 1)
            if not ended:
                raise UsageError("the JSONPath template has a {range} without {end}")
            parts.append(_Range(_path(text[5:].strip()), body))
        elif text[:1] in ("'", '"'):
            parts.append(_literal(text))
        else:
            parts.append(_path(text))
    return tuple(parts), False


def _literal(text: str) -> str:
    if len(text) < 2 or text[-1] != text[0]:
        raise UsageError(f"the JSONPath template has a string that is not closed: {text}")
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), text[1:-1])


def _path(text: str) -> _Path:
    """A path such as `.items[0].name`."""
    steps: list[Step] = []
    at = 1 if text[:1] in ("$", "@") else 0
    while at < len(text) and text[at:] != ".":
        found = _STEP.match(text, at)
        if found is None:
            raise UsageError(f"the JSONPath expression {text!r} cannot be read at {text[at:]!r}")
        steps.append(_step(found))
        at = found.end()
    return _Path(tuple(steps), text.startswith("$"))


def _step(found: re.Match[str]) -> Step:
    if found["filter"] is not None:
        return _filter(found["filter"])
    if found["quoted"] is not None:
        return _field(found["quoted"][1:-1])
    if found["slice"] is not None and found["slice"] != "*":
        return _elements(found["slice"])
    name = found["field"]
    step = _all if name in (None, "*") else _field(re.sub(r"\\(.)", r"\1", name))
    return _deep(step) if found["deep"] else step


def _field(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _all(value: Any) -> Iterator[Any]:
    yield from value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _elements(text: str) -> Step:
    numbers = [int(part) if part else None for part in text.split(":")]
    if len(numbers) == 3 and numbers[2] == 0:
        raise UsageError(f"the JSONPath expression has a slice with the step 0: [{text}]")

    def step(value: Any) -> Iterator[Any]:
        if not isinstance(value, list):
            return
        if len(numbers) > 1:
            yield from value[slice(*numbers)]
        elif numbers[0] is not None and -len(value) <= numbers[0] < len(value):
            yield value[numbers[0]]

    return step


def _deep(step: Step) -> Step:
    def deep(value: Any) -> Iterator[Any]:
        yield from step(value)
        for below in _all(value):
            yield from deep(below)

    return deep


def _filter(text: str) -> Step:
    found = _FILTER.fullmatch(text.strip())
    if found is None:
        raise UsageError(f'the JSONPath filter {text!r} cannot be read: write one like @.name == "cpu"')
    path, sign = _path(found["path"]), found["sign"]
    wanted = _value(found["value"]) if sign else None

    def step(value: Any) -> Iterator[Any]:
        for one in _all(value):
            selected = list(_select(path, one, one))
            if selected and (sign is None or _compares(sign, selected[0], wanted)):
                yield one

    return step


def _value(text: str) -> Any:
    text = text.strip()
    if text[:1] in ("'", '"'):
        return _literal(text)
    try:
        return json.loads(text)
    except ValueError:
        raise UsageError(
            f"the JSONPath filter compares with {text!r}: write a number, true, false or a string"
        ) from None


def _compares(sign: str, left: Any, right: Any) -> bool:
    try:
        return bool(_COMPARED[sign](left, right))
    except TypeError:
        return False


def _select(path: _Path, value: Any, root: Any) -> Iterator[Any]:
    found = [root if path.rooted else value]
    for step in path.steps:
        found = [below for one in found for below in step(one)]
    yield from found


def _render(parts: tuple[_Part, ...], value: Any, root: Any) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, _Range):
            for one in _select(part.path, value, root):
                yield from _render(part.body, one, root)
        else:
            yield " ".join(_text(one) for one in _select(part, value, root))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

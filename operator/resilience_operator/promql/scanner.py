"""Counts the symbols of a query and limits its size, in one pass and without parsing it.

promql-parser takes time quadratic in the number of operators; the symbol count limits that time. Comments and strings
are skipped with the rules of the lexers of Prometheus and promql-parser. A comment ends at a line feed or a carriage
return. A string in double or single quotes has escapes and no line feed. A string in back quotes has no backslash
(promql-parser's rule). A query on which the two lexers could disagree is rejected.
"""

from __future__ import annotations

import re
from typing import NoReturn

from resilience_operator.promql.errors import TemplateError

MOST_SYMBOLS = 300
"""Maximum number of operators, brackets and matchers in one query."""
MOST_SYMBOLS_OF_A_POLICY = 3_000
"""The same for all queries of a policy together."""
MOST_DEPTH = 150
"""Maximum nesting depth of brackets."""
MOST_CHARACTERS = 16_384
"""Maximum length of one query with its placeholders filled in."""
MOST_CHARACTERS_OF_A_POLICY = 131_072
"""The same for all queries of a policy together."""

_TOKEN = re.compile(
    r"""
      (?: [\d\s,.:] | \#[^\n\r]*+ | "(?:[^"\\\n]|\\[^\n])*+" | '(?:[^'\\\n]|\\[^\n])*+' | `[^`\\]*+` )++
    | (?P<unclosed>["'`])
    | (?P<open>[(\[{])
    | (?P<close>[)\]}])
    | (?P<symbol>[-+*/%^=<>!] | (?<![a-z_])(?:and|or|unless|atan2)(?![a-z_0-9]))
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
"""Possessive quantifiers prevent backtracking. A quote that starts no valid string ends the scan."""


class OversizedError(TemplateError):
    """The queries of a policy exceed the limits in total."""


def measure(query: str) -> int:
    """The number of symbols in a query. Raises TemplateError if it exceeds a limit or has an unclosed string."""
    if len(query) > MOST_CHARACTERS:
        raise TemplateError(
            f"the query has {len(query)} characters with its placeholders filled in: use at most {MOST_CHARACTERS}"
        )
    symbols = depth = 0
    for token in _TOKEN.finditer(query):
        match token.lastgroup:
            case "open":
                symbols += 1
                depth += 1
            case "close":
                depth -= 1
            case "symbol":
                symbols += 1
            case "unclosed":
                _refuse_string(query, token.start())
        if symbols > MOST_SYMBOLS:
            raise TemplateError(
                f"the query has more than {MOST_SYMBOLS} operators, brackets and matchers: use at most {MOST_SYMBOLS}"
            )
        if depth > MOST_DEPTH:
            raise TemplateError(
                f"the query has more than {MOST_DEPTH} levels of nested brackets: use at most {MOST_DEPTH}"
            )
    return symbols


class PolicySize:
    """The total size of all queries of one policy."""

    def __init__(self) -> None:
        self._symbols = self._characters = 0

    def add(self, query: str, *, parsed: bool = True) -> None:
        """Add one query. parsed: count its symbols too. Raises TemplateError for the query, or OversizedError for the
        total.
        """
        self._characters += len(query)
        if self._characters > MOST_CHARACTERS_OF_A_POLICY:
            raise OversizedError(
                f"the policy's queries have more than {MOST_CHARACTERS_OF_A_POLICY} characters together with their "
                "placeholders filled in: shorten them, or split the policy"
            )
        if not parsed:
            return
        self._symbols += measure(query)
        if self._symbols > MOST_SYMBOLS_OF_A_POLICY:
            raise OversizedError(
                f"the policy's queries have more than {MOST_SYMBOLS_OF_A_POLICY} operators, brackets and matchers "
                "together: shorten them, or split the policy"
            )


def _refuse_string(query: str, start: int) -> NoReturn:
    if query[start] == "`" and "`" in query[start + 1 :]:
        raise TemplateError(
            f"the string at character {start + 1} has a backslash in back quotes: write it in double quotes, "
            'like "\\\\d"'
        )
    raise TemplateError(f"the query cannot be read: the string at character {start + 1} is not closed")

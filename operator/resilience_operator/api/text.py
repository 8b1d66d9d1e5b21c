"""Makes text from objects safe to print: one line, without control characters."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Replace unprintable characters by spaces: line breaks, escape sequences, direction marks.

    Text in an object must not start a new line in a log, an event or a message.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def cut(text: str, most: int) -> str:
    """Truncate text to `most` bytes of UTF-8 at a character boundary, with an ellipsis."""
    if len(text) <= most and text.isascii():
        return text  # not a copy: many policies share the same text
    data = text.encode("utf-8", "replace")
    if len(data) <= most:
        return data.decode()
    return data[: most - 3].decode("utf-8", "ignore") + "…"

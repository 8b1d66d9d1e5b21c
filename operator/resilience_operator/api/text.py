"""Text from objects, made safe to print: one line, without control characters."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Replace whatever is not printable by a space: line breaks, escape sequences, marks that change the direction.

    Nothing in an object may begin a line of its own in a log, an event or a message.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def cut(text: str, most: int) -> str:
    """The text within `most` bytes of UTF-8, never through a character; an ellipsis shows where it was cut."""
    data = text.encode("utf-8", "replace")
    if len(data) <= most:
        return data.decode()
    return data[: most - 3].decode("utf-8", "ignore") + "…"

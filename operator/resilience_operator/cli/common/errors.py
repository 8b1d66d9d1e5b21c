"""Expected failures of commands, and exit codes. Imports nothing, so that every command starts fast."""

from __future__ import annotations

EXIT_FAILED = 1
"""The command failed, or found nothing."""
EXIT_USAGE = 2
"""The arguments, a file or the configuration are wrong; a retry does not help."""

PROGRAM = "kubectl resilience"


class CommandError(Exception):
    """The command failed: one line for people, and the exit code."""

    def __init__(self, message: str, code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.code = code


class UsageError(CommandError):
    """The input is invalid: a person must change it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, EXIT_USAGE)

"""What a command ends with: exit codes, and errors that people can act on."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """The exit codes of every command; they are stable."""

    OK = 0
    FAILED = 1
    """The command could not do what it was asked to, or the program raised."""
    USAGE = 2
    """The command line itself is wrong."""
    PAUSED = 3
    """`run` has left the instance where it waits for an event."""
    INTERRUPTED = 130


class Failure(Exception):
    """An error to be shown as one line, and what to do about it.

    Args:
        message: what happened, and where.
        remedy: what to do.
        code: what the command ends with.
    """

    def __init__(self, message: str, remedy: str = "", code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.code = code

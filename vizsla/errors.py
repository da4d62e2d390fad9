"""The errors a user sees: one sentence that says what is wrong, one that says what to do about it.

Raised at the edge, where the cause is known; turned into text and an exit code once, by the face. Everything may
import this module, and it imports nothing.
"""

from __future__ import annotations


class VizslaError(Exception):
    """Something went wrong that has a name and a cure.

    `message` is one sentence about the cause, `hint` what the user can do; `exit_code` is what a command ends with.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UserError(VizslaError):
    """The user asked for something that is impossible as asked: nothing is broken, the request has to change."""

    exit_code = 2


class JobError(VizslaError):
    """A job, or a part of vizsla that ran in a process of its own, failed."""


def named(error: Exception) -> str:
    """What went wrong, for the end of a sentence: what a user would read, or the error as Python shows it."""
    return f"{error.message} {error.hint}".strip(" .") if isinstance(error, VizslaError) else repr(error)

"""Every exception of the library.

All derive from `DurableError`.  A message says what happened, where, and what to do about it.
"""

from __future__ import annotations


class DurableError(Exception):
    """The base of every error this library raises."""


# making a function durable


class AlreadyDurableException(DurableError):
    """`make_durable` was given something that is durable already."""


class NoSourceCodeException(DurableError):
    """The source text of a function cannot be found, or is not the text it was compiled from."""


class UnsupportedSyntaxError(DurableError):
    """A function holds a construct that cannot be made durable."""


# pausing


class PauseForEventException(DurableError):
    """The instance waits for an event.

    Raised by user code to pause, and by a call of a program that has paused.

    Args:
        event: the name of the event that opens the gate.
        instance_id: the paused instance, once it is known.

    >>> PauseForEventException("approved").event
    'approved'
    """

    def __init__(self, event: str, instance_id: str | None = None) -> None:
        self.event = event
        self.instance_id = instance_id
        super().__init__(event, instance_id)

    def __str__(self) -> str:
        if self.instance_id is None:
            return f"waiting for event {self.event!r}"
        return (
            f"instance {self.instance_id!r} is waiting for event {self.event!r}; publish it and call the program again"
        )


class CheckpointException(DurableError):
    """A checkpoint could not be taken or read."""


# state


class NotPersistableError(CheckpointException):
    """A live value cannot be saved where it has to be."""


class NotPersistableWarning(UserWarning):
    """A live value cannot be saved, so no checkpoint is taken until it is dead."""


class CorruptStateError(CheckpointException):
    """A stored record is damaged or was written by something else."""


class TamperedStateError(CheckpointException):
    """Something stored was not written by who has the key, or not in that place; it was not read."""


class NewerFormatError(CheckpointException):
    """A stored record has a format that only a later version of the library knows."""


class CodeChangedError(DurableError):
    """The code of an instance was edited where it matters for going on."""


# owning an instance


class InstanceConflictError(DurableError):
    """An instance id is in use for another program, or for other arguments."""


class OtherProgramError(InstanceConflictError):
    """An instance id is in use for another program.

    Attributes:
        instance_id: the id.
    """

    def __init__(self, message: str, instance_id: str = "") -> None:
        super().__init__(message)
        self.instance_id = instance_id


class StaleOwnerError(DurableError):
    """The instance has a newer owner; this one's write was refused."""


class ParkedError(DurableError):
    """The instance was put aside, because no worker could go on with it."""


class StoreError(DurableError):
    """A store could not read or write."""


class TransactionError(DurableError):
    """A transaction cannot be opened here, or cannot be committed."""


class InvalidInstanceIdError(DurableError, ValueError):
    """An instance id that no store can take."""


class InvalidEventNameError(DurableError, ValueError):
    """A name that no event can have."""


class UnknownRunError(DurableError, LookupError):
    """There is no run of that id."""

"""A pause that was raised where the instance cannot be left: in a sync function, or inside of a step.

It comes up like any other exception.  If it reached the caller as it is, it would look as if the
instance were waiting.
"""

from __future__ import annotations

import traceback

from ..errors import DurableError, PauseForEventException


def explained(error: BaseException) -> BaseException:
    """The error itself, or what to tell the user if it is such a pause."""
    if not isinstance(error, PauseForEventException) or error.instance_id is not None:
        return error
    where = traceback.extract_tb(error.__traceback__)[-1]
    return DurableError(
        f"{where.filename}:{where.lineno}: PauseForEventException({error.event!r}) was raised in {where.name}(), which "
        "is a sync function or part of a step, so it cannot be left here and gone on with later. Raise it in an async "
        f"function that the durable function awaits, or await wait_for_event({error.event!r}) there"
    )

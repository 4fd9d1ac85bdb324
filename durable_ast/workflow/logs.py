"""Log records that tell which run they are about."""

from __future__ import annotations

import logging
import sys

from ..runtime.frames import block_around
from ..runtime.journal import enclosing
from ..runtime.running_branch import current


class RunFields(logging.Filter):
    """Gives each log record the fields ``instance``, ``step``, ``attempt``, ``function`` and ``block``;
    None where there is none.

    The block is the number that `explain` shows for the durable function; within a step it is the
    block that goes on after it.  Put the filter on a handler, so that it sees the records of all
    loggers, and name the fields in its format.

    >>> import io
    >>> from durable_ast import InMemoryStore, Workflow
    >>> out = io.StringIO()
    >>> handler = logging.StreamHandler(out)
    >>> handler.addFilter(RunFields())
    >>> handler.setFormatter(logging.Formatter("%(instance)s %(step)s %(function)s:%(block)s %(message)s"))
    >>> log = logging.getLogger("shop")
    >>> log.addHandler(handler)
    >>> wf = Workflow("shop", db=InMemoryStore())
    >>> @wf.task(name="ship")
    ... async def ship():
    ...     log.warning("late")
    >>> @wf.workflow(id="order-{number}")
    ... async def order(number: int) -> None:
    ...     await ship()
    ...     log.warning("done")
    >>> import asyncio
    >>> asyncio.run(order(7))
    >>> print(out.getvalue(), end="")
    order-7 ship order:1 late
    order-7 None order:1 done
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields; every record passes."""
        branch, scope = current.get(), enclosing()
        record.instance = None if branch is None else branch.instance.record.instance_id
        record.step = None if scope is None else scope.name
        record.attempt = None if scope is None else scope.attempt
        frame = sys._getframe() if branch is None or branch.caller is None else branch.caller
        place = None if branch is None else block_around(frame)
        record.function, record.block = (None, None) if place is None else place
        return True

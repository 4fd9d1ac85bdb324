"""Runs of different workflows whose ids would be the same.

Ids are made from arguments, so two workflows may make one and the same.  Whichever run comes first has
the id as it is; the run of another workflow has it with what it runs in parentheses behind:
``order-7`` and ``order-7 (shop:refund)``.  Each of them is a run of its own, with its own outcome,
signals and handle.  Which runs there are beside the first is noted in a mailbox that no run reads.
"""

from __future__ import annotations

import asyncio

from ..errors import InstanceConflictError
from ..state import snapshot
from ..stores.base import InstanceStore
from ..stores.names import MAX_ID_LENGTH, check_instance_id


def distinct(run_id: str, program: str) -> str:
    """The id of a run whose own id belongs to another workflow.

    >>> distinct("order-7", "shop:refund")
    'order-7 (shop:refund)'
    """
    return f"{run_id} ({program})"


async def id_of_run(store: InstanceStore, run_id: str, program: str) -> str:
    """The id under which the run of this workflow is stored, if it is; else the one it asks for."""
    other = distinct(run_id, program)
    if len(other) <= MAX_ID_LENGTH and await store.read(other) is not None:
        return other
    return run_id


async def make_distinct(store: InstanceStore, run_id: str, program: str) -> str:
    """The id for a run of this workflow, now that another one has the id that it asks for.

    Raises:
        InvalidInstanceIdError: it would be too long.
    """
    other = check_instance_id(distinct(run_id, program))
    await asyncio.wrap_future(store.publish(others(run_id), other, snapshot.dumps(None)))
    return other


async def addressee(store: InstanceStore, run_id: str, signal: str) -> str:
    """The id of the run that a signal for this id is meant for, where several workflows may have one.

    It is the one that has not ended; if there are several of these, the one that waits for the signal.

    Raises:
        InstanceConflictError: several wait for it.
    """
    first = await store.read(run_id)
    names = dict.fromkeys(message.name for message in await store.messages(others(run_id)))
    found = [first, *[await store.read(name) for name in names]]
    records = [record for record in found if record is not None]
    open_ones = [record for record in records if not record.status.is_final]
    waiting = [record for record in open_ones if signal in record.awaited]
    if len(waiting) > 1:
        listed = ", ".join(f"{record.instance_id!r} runs {record.program}" for record in waiting)
        raise InstanceConflictError(
            f"several runs of the id {run_id!r} wait for the signal {signal!r}: {listed}; say which one is meant with "
            f"wf.handle(id).signal({signal!r}, ...)"
        )
    meant = next(iter([*waiting, *open_ones, *records]), None)
    return run_id if meant is None else meant.instance_id


def others(run_id: str) -> str:
    """The mailbox that tells of the runs of other workflows that ask for the same id."""
    return f"namesakes {run_id}"

"""Instances that an instance has started, and what becomes of them when it is cancelled.

Each that is not to be left alone is noted beside the instance as soon as it is created; the transition that
cancels the instance sends it the same request.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from ..state import snapshot
from ..state.schema import Outgoing
from ..stores.base import InstanceStore
from .control import CANCEL, TERMINATE
from .effects import Effects
from .running_branch import current

OnCancel: TypeAlias = Literal["leave", "cancel", "terminate"]
"""What becomes of an instance when the one that has started it is cancelled."""

_CHILDREN = "c/"
"""What the names of those parts begin with that hold what becomes of a child."""

_REQUESTS = {b"cancel": CANCEL, b"terminate": TERMINATE}


async def note_child(instance_id: str, on_cancel: OnCancel) -> None:
    """The running instance has started another one.

    Raises:
        ValueError: no instance is running.
    """
    if on_cancel == "leave":
        return
    branch = current.get()
    if branch is None:
        raise ValueError(f"on_cancel={on_cancel!r} is about the run that starts {instance_id!r}, and this is no run")
    await branch.instance.note(Effects(parts={_CHILDREN + instance_id: on_cancel.encode()}))


async def requests_to_children(store: InstanceStore, instance_id: str) -> tuple[Outgoing, ...]:
    """What an instance that is cancelled has to tell those it has started."""
    requests: list[Outgoing] = []
    for name, on_cancel in (await store.parts(instance_id, _CHILDREN)).items():
        child = name.removeprefix(_CHILDREN)
        record = await store.read(child)
        if record is None or not record.status.is_final:
            requests.append(Outgoing(child, _REQUESTS[on_cancel], snapshot.dumps(None)))
    return tuple(requests)

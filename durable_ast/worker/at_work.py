"""The workers of this process: what is left to them, nobody else in it needs to run."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Collection
from typing import TYPE_CHECKING

from ..stores.base import StateStore
from ..stores.steps import Store

if TYPE_CHECKING:
    from .worker import Worker

_workers: weakref.WeakSet[Worker] = weakref.WeakSet()


def begins(worker: Worker) -> None:
    """A worker has begun."""
    _workers.add(worker)


def leaves(worker: Worker) -> None:
    """A worker claims nothing more."""
    _workers.discard(worker)


def is_left_to_workers(stores: Collection[StateStore | Store], label: str) -> bool:
    """Whether a worker of this process goes on with the instances of a program in one of these, which
    are forms of one store."""
    return any(worker.works_on(store, label) for worker in _workers for store in stores)


def lent_place(instance_id: str) -> contextlib.AbstractContextManager[None]:
    """While an instance waits for another one, that may have its place, if a worker runs it."""
    for worker in _workers:
        if worker.runs(instance_id):
            return worker.lent_place(instance_id)
    return contextlib.nullcontext()

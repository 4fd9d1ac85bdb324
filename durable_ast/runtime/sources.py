"""The texts of functions, kept in the store for instances that outlive them.

Every function that a checkpoint can name is noted here.  With the next checkpoint a store is given the
texts that it does not have yet, once for each version.  Before a checkpoint is restored, the texts it
was written with are fetched.
"""

from __future__ import annotations

import asyncio
import re
import weakref
from collections.abc import Collection, Iterable

from ..compiler.source import FunctionSource
from ..compiler.stored import stored_form
from ..stores.base import InstanceStore

noted: dict[str, FunctionSource] = {}
"""The functions that checkpoints of this process may name, by version."""

fetched: dict[str, str] = {}
"""Texts from stores, by version."""

_given: weakref.WeakKeyDictionary[InstanceStore, int] = weakref.WeakKeyDictionary()
"""How many of the noted ones each store has."""

_keeping: weakref.WeakKeyDictionary[InstanceStore, asyncio.Future[None]] = weakref.WeakKeyDictionary()
"""Done when a store has been given some."""

_VERSION = re.compile(rb"@([0-9a-f]{32})")


def note(source: FunctionSource) -> None:
    """A function that checkpoints may name from now on."""
    noted.setdefault(source.version, source)


def kept_by(store: InstanceStore) -> int:
    """How many of the noted texts the store has."""
    return _given.get(store, 0)


async def keep(store: InstanceStore) -> None:
    """Give the store the texts that it was not given yet; a thousand instances that begin at once do
    it once."""
    while kept_by(store) < len(noted):
        keeping = _keeping.get(store)
        if keeping is not None and keeping.get_loop() is asyncio.get_running_loop() and not keeping.done():
            await asyncio.wait([keeping])
            continue
        kept = _keeping[store] = asyncio.get_running_loop().create_future()
        try:
            await _give(store)
        finally:
            kept.set_result(None)


async def _give(store: InstanceStore) -> None:
    first = kept_by(store)
    new = list(noted.items())[first:]
    await store.keep_sources({version: stored_form(source) for version, source in new})
    _given[store] = max(first + len(new), kept_by(store))


async def fetch(store: InstanceStore, checkpoints: Collection[bytes]) -> None:
    """Get the texts that these checkpoints name and this process does not know."""
    for version in versions_in(checkpoints):
        if version in noted or version in fetched:
            continue
        text = await store.source(version)
        if text is not None:
            fetched[version] = text


def versions_in(checkpoints: Iterable[bytes]) -> set[str]:
    """The versions of functions that checkpoints name."""
    return {found.decode() for data in checkpoints for found in _VERSION.findall(data)}

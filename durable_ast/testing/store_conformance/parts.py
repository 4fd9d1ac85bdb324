"""What is kept beside the record of an instance."""

from __future__ import annotations

import asyncio

from ...state.schema import Status
from .case import Place, StoreCase, commit, done, new, scenario


class PartsOfInstances(StoreCase):
    """Parts change with the record, or not at all."""

    @scenario
    async def test_parts_are_put_replaced_and_deleted_with_the_record(self, place: Place) -> None:
        store = place.open()
        record, _ = await store.acquire(new())
        record = await commit(store, record, parts={"b/1": b"one", "b/10": b"ten", "v/x": b""})
        record = await commit(store, record, parts={"b/1": b"ONE", "b/10": None, "b/2": None, "j/ü%_": b"j"})
        assert await place.open().parts("one") == {"b/1": b"ONE", "v/x": b"", "j/ü%_": b"j"}
        assert await store.parts("one", "b/") == {"b/1": b"ONE"}
        assert await store.parts("one", "j/ü%_") == {"j/ü%_": b"j"}
        assert await store.parts("one", "%") == {}
        found = await store.read("one")
        assert found is not None and found.sequence == 2

    @scenario
    async def test_many_branches_write_their_own_parts_at_once(self, place: Place) -> None:
        store = place.open()
        record, _ = await store.acquire(new())

        async def branch(number: int) -> None:
            record.sequence += 1
            await done(store.commit(record, (), True, {f"b/{number}": b"%d" % number}))

        await asyncio.gather(*(branch(number) for number in range(300)))
        found = await store.read("one")
        assert found is not None and found.sequence == 300
        assert await store.parts("one", "b/") == {f"b/{number}": b"%d" % number for number in range(300)}

    @scenario
    async def test_parts_that_are_transient_end_with_the_instance(self, place: Place) -> None:
        store = place.open()
        record, _ = await store.acquire(new())
        record = await commit(store, record, parts={"b/1": b"1", "j/1": b"1", "v/1": b"1"})
        record = await commit(store, record, status=Status.ERROR, error="it failed")
        assert set(await store.parts("one")) == {"b/1", "j/1", "v/1"}
        await commit(store, record, status=Status.SUCCESS, parts={"b/2": b"2"})
        assert await store.parts("one") == {"v/1": b"1"}

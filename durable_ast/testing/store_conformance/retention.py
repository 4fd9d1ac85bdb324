"""What is deleted, and how much is kept."""

from __future__ import annotations

import asyncio
import os

import pytest

from ...state.schema import Status
from ...stores.claiming import InstanceBusy
from .case import Place, StoreCase, commit, new, scenario


class Retention(StoreCase):
    """What is not needed is deleted, and sizes are told."""

    @scenario
    async def test_what_has_ended_long_ago_is_deleted(self, place: Place) -> None:
        store = place.open()
        for status in (Status.SUCCESS, Status.ERROR, Status.WAITING):
            record, _ = await store.acquire(new(status.value))
            await commit(store, record, status=status, parts={"v/a": b"1"})
            store.release(status.value, record.epoch)
        assert await store.vacuum(older_than=3600.0) == 0
        assert await store.vacuum(older_than=0.0) == 1
        assert await store.read("SUCCESS") is None
        assert await store.vacuum(older_than=0.0, status=[Status.ERROR]) == 1
        with pytest.raises(ValueError, match="WAITING"):
            await store.vacuum(older_than=0.0, status=[Status.WAITING])
        found = await store.read("WAITING")
        assert found is not None

    @scenario
    async def test_what_is_deleted_is_chosen(self, place: Place) -> None:
        store = place.open()
        for instance_id in ("a-1", "a-2", "b-1"):
            record, _ = await store.acquire(new(instance_id))
            await commit(store, record, status=Status.SUCCESS)
            store.release(instance_id, record.epoch)
        assert await store.vacuum(older_than=0.0, program="other:main") == 0
        assert await store.vacuum(older_than=0.0, prefix="a-") == 2
        assert await store.read("b-1") is not None

    @scenario
    async def test_the_history_is_deleted_alone(self, place: Place) -> None:
        store = place.open()
        record, _ = await store.acquire(new())
        await commit(store, record, status=Status.SUCCESS, parts={"h/1": b"1", "h/2": b"2", "v/a": b"3"})
        store.release("one", record.epoch)
        assert await store.vacuum(older_than=0.0, history_only=True) == 1
        assert await store.vacuum(older_than=0.0, history_only=True) == 0
        assert await place.open().parts("one") == {"v/a": b"3"}

    @scenario
    async def test_sizes_are_told(self, place: Place) -> None:
        store = place.open()
        for instance_id, size in (("small", 10), ("large", 5000)):
            record, _ = await store.acquire(new(instance_id))
            await commit(store, record, call_stack=os.urandom(size), parts={"h/1": bytes(7), "v/a": bytes(5)})
            await asyncio.wrap_future(store.publish(instance_id, "event", bytes(3)))
        sizes = await store.sizes(largest=2)
        assert sizes.instances == {Status.RUNNING: 2}
        large, small = sizes.largest  # a codec makes all of it longer
        assert (large.instance_id, small.instance_id) == ("large", "small")
        assert large.state >= 5000 > small.state >= 10
        assert sizes.bytes[Status.RUNNING] == large.total + small.total
        assert sizes.history == large.history + small.history >= 14
        assert large.parts == small.parts >= 8
        assert [size.instance_id for size in (await store.sizes(largest=1)).largest] == ["large"]

    @scenario
    async def test_what_is_not_used_is_given_back(self, place: Place) -> None:
        store = place.open()
        record, _ = await store.acquire(new())
        await commit(store, record, status=Status.SUCCESS, outcome=bytes(1_000_000))
        store.release("one", record.epoch)
        await store.vacuum(older_than=0.0)
        await store.shrink()
        assert not (await store.sizes()).unused

    @scenario
    async def test_a_deleted_instance_leaves_nothing(self, place: Place) -> None:
        store = place.open()
        record, _ = await store.acquire(new())
        await commit(store, record, parts={"v/a": b"1"})
        await asyncio.wrap_future(store.publish("one", "event", b""))
        with pytest.raises(InstanceBusy):
            await store.delete("one")
        store.release("one", record.epoch)
        assert await store.delete("one")
        assert not await store.delete("one")
        assert await store.read("one") is None
        again, created = await store.acquire(new())
        assert created and again.epoch >= 1
        assert await store.parts("one") == {}
        assert await store.messages("one") == []

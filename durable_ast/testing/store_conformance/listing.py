"""All instances, by page and filter."""

from __future__ import annotations

import time
from typing import Any

from ...state.schema import INTERNAL, Status
from .case import Place, StoreCase, commit, new, scenario


class Listing(StoreCase):
    """Instances are listed newest first, by page and filter."""

    @scenario
    async def test_instances_are_listed_newest_first_by_page(self, place: Place) -> None:
        store = place.open()
        for number in range(10):
            assert await store.enqueue(new(f"order-{number}", created_at=1000.0 + number))
        listing = store if not self.lists else place.open()
        ids = [record.instance_id for record in await listing.records()]
        assert ids == [f"order-{number}" for number in reversed(range(10))]
        page = await listing.records(limit=3, offset=2)
        assert [record.instance_id for record in page] == ["order-7", "order-6", "order-5"]
        assert await listing.records(limit=0) == []
        assert len(await listing.records(offset=8)) == 2

    @scenario
    async def test_a_list_is_filtered(self, place: Place) -> None:
        store = place.open()
        for number, program in enumerate(("a", "b", "a", "b")):
            record, _ = await store.acquire(new(f"{program}%_{number}", program=program, created_at=1000.0 + number))
            if number > 1:
                await commit(store, record, status=Status.ERROR)

        async def ids(**filters: Any) -> list[str]:
            return [record.instance_id for record in await store.records(**filters)]

        assert await ids(program="a") == ["a%_2", "a%_0"]
        assert await ids(status={Status.ERROR}) == ["b%_3", "a%_2"]
        assert await ids(status=[Status.RUNNING, Status.ERROR], program="b") == ["b%_3", "b%_1"]
        assert await ids(status="ERROR") == await ids(status=["ERROR"]) == ["b%_3", "a%_2"]
        assert await ids(status=()) == []
        assert await ids(prefix="b%_") == ["b%_3", "b%_1"]
        assert await ids(prefix="_") == []
        assert await ids(since=1002.0) == ["b%_3", "a%_2"]
        assert await ids(status={Status.RUNNING}, since=1001.0, limit=1) == ["b%_1"]

    @scenario
    async def test_what_is_no_instance_takes_no_place_in_a_list(self, place: Place) -> None:
        store = place.open()
        await store.enqueue(new("order"))
        await store.acquire(new("queue", program=f"{INTERNAL}queue)"))
        assert [record.instance_id for record in await store.records(limit=1)] == ["order"]

    @scenario
    async def test_times_are_known(self, place: Place) -> None:
        store = place.open()
        before = time.time()
        record, _ = await store.acquire(new())
        await commit(store, record)
        old, _ = await store.acquire(new("old", created_at=1000.5, updated_at=1000.5))
        await commit(store, old)
        found, found_old = await store.read("one"), await store.read("old")
        assert found is not None and found_old is not None
        assert before - 1 <= found.created_at <= found.updated_at <= time.time() + 1
        assert found_old.created_at == 1000.5
        assert before - 1 <= found_old.updated_at <= time.time() + 1

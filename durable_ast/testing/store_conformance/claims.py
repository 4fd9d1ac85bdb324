"""What can go on, and who gets it."""

from __future__ import annotations

import asyncio
import time

import pytest

from ...state.schema import HELD, Outgoing, Status
from .case import ODD_IDS, PROGRAMS, Place, StoreCase, commit, new, scenario


class Claims(StoreCase):
    """Instances are claimed when they can go on, each by one."""

    @scenario
    async def test_what_is_new_is_claimed_once_in_order(self, place: Place) -> None:
        store, other = place.open(), place.open()
        for number in range(5):
            await store.enqueue(
                new(str(number), status=Status.ENQUEUED, created_at=1000.0 + number, updated_at=1000.0 + number)
            )
        await store.enqueue(new("foreign", status=Status.ENQUEUED, program="others"))
        first = await store.claim(PROGRAMS, 2)
        assert [record.instance_id for record in first.records] == ["0", "1"]
        assert [record.epoch for record in first.records] == [1, 1]
        rest = await other.claim(PROGRAMS, 10)
        assert [record.instance_id for record in rest.records] == ["2", "3", "4"]
        assert (await store.claim(PROGRAMS, 10)).records == []
        await commit(other, rest.records[0], call_stack=b"mine")

    @scenario
    async def test_many_who_claim_share_without_doubles(self, place: Place) -> None:
        stores = [place.open() for _ in range(4)]
        for number in range(40):
            await stores[0].enqueue(new(str(number), status=Status.ENQUEUED))
        claims = await asyncio.gather(*(store.claim(PROGRAMS, 10) for store in stores * 2))
        ids = [record.instance_id for claim in claims for record in claim.records]
        assert sorted(ids) == sorted({str(number) for number in range(40)})

    @scenario
    async def test_those_that_are_left_to_others_are_not_in_the_way(self, place: Place) -> None:
        store, other = place.open(), place.open()
        for instance_id in ODD_IDS[-5:]:
            await store.enqueue(new(instance_id))
        await store.enqueue(new("last"))
        claimed = await store.claim(PROGRAMS, 2, ODD_IDS[-5:])
        assert [record.instance_id for record in claimed.records] == ["last"]
        assert len((await other.claim(PROGRAMS, 9)).records) == 5

    @scenario
    async def test_what_was_handed_over_is_claimed(self, place: Place) -> None:
        store, other = place.open(), place.open()
        record, _ = await store.acquire(new())
        await commit(store, record, call_stack=b"half way")
        assert (await other.claim(PROGRAMS, 1)).records == []
        store.release("one", record.epoch)
        await store.read("one")
        (taken,) = (await other.claim(PROGRAMS, 1)).records
        assert (taken.call_stack, taken.epoch > record.epoch) == (b"half way", True)

    @scenario
    async def test_what_waits_is_claimed_when_its_event_has_come(self, place: Place) -> None:
        store = place.open()
        for control, instance_id in enumerate(("by event", "by control")):
            record, _ = await store.acquire(new(instance_id))
            await commit(store, record, status=Status.WAITING, awaited=("a", "b'%"))
            store.release(instance_id, record.epoch)
            assert (await store.claim(PROGRAMS, 1)).records == []
            await asyncio.wrap_future(store.publish(instance_id, "other", b""))
            assert (await store.claim(PROGRAMS, 1)).records == []
            await asyncio.wrap_future(store.publish(instance_id, ".cancel" if control else "b'%", b""))
            claimed = await store.claim(PROGRAMS, 1)
            (taken,) = claimed.records
            assert (taken.instance_id, taken.status, taken.awaited) == (instance_id, Status.WAITING, ("a", "b'%"))
            if claimed.messages is not None:
                assert claimed.messages == {instance_id: await store.messages(instance_id)}

    @scenario
    async def test_what_sleeps_is_claimed_when_something_is_asked_of_it(self, place: Place) -> None:
        store = place.open()
        for number, is_asked_before in enumerate((False, True)):
            record, _ = await store.acquire(new(str(number)))
            if is_asked_before:
                await asyncio.wrap_future(store.publish(str(number), ".cancel", b""))
            await commit(store, record, status=Status.SLEEPING, wake_at=time.time() + 3600)
            store.release(str(number), record.epoch)
            await asyncio.wrap_future(store.publish(str(number), "event", b""))
            if not is_asked_before:
                assert (await store.claim(PROGRAMS, 1)).records == []
                await asyncio.wrap_future(store.publish(str(number), ".cancel", b""))
            assert [taken.instance_id for taken in (await store.claim(PROGRAMS, 1)).records] == [str(number)]

    @scenario
    async def test_an_event_that_comes_before_the_owner_has_gone_is_not_forgotten(self, place: Place) -> None:
        store = place.open()
        record, _ = await store.acquire(new())
        await asyncio.wrap_future(store.publish("one", "a", b""))
        await commit(store, record, status=Status.WAITING, awaited=("a",))
        store.release("one", record.epoch)
        await store.read("one")
        assert len((await store.claim(PROGRAMS, 1)).records) == 1

    @scenario
    async def test_an_event_from_another_instance_wakes(self, place: Place) -> None:
        store = place.open()
        record, _ = await store.acquire(new())
        await commit(store, record, status=Status.WAITING, awaited=("a",))
        store.release("one", record.epoch)
        sender, _ = await store.acquire(new("two", program="others"))
        await commit(store, sender, outbox=(Outgoing("one", "a", b""),))
        assert [taken.instance_id for taken in (await store.claim(PROGRAMS, 1)).records] == ["one"]

    @scenario
    async def test_what_sleeps_is_claimed_when_it_is_due(self, place: Place) -> None:
        store = place.open()
        now = time.time()
        for instance_id, status, wake_at in (
            ("past", Status.SLEEPING, now - 10),
            ("deadline", Status.WAITING, now - 5),
            ("future", Status.SLEEPING, now + 3600),
            ("later", Status.WAITING, now + 7200),
            ("never", Status.WAITING, None),
        ):
            record, _ = await store.acquire(new(instance_id))
            await commit(store, record, status=status, wake_at=wake_at)
            store.release(instance_id, record.epoch)
            await store.read(instance_id)
        claimed = await store.claim(PROGRAMS, 10)
        assert sorted(record.instance_id for record in claimed.records) == ["deadline", "past"]
        assert claimed.next_due == pytest.approx(now + 3600)

    @scenario
    async def test_what_has_ended_or_was_put_aside_is_not_claimed(self, place: Place) -> None:
        store = place.open()
        for status in (Status.SUCCESS, Status.CANCELLED, Status.ERROR, Status.PARKED, Status.PAUSED):
            record, _ = await store.acquire(new(status.value))
            await commit(store, record, status=status, outcome=b"")
            store.release(status.value, record.epoch)
            await asyncio.wrap_future(store.publish(status.value, "a", b""))
        assert (await store.claim(PROGRAMS, 10)).records == []

    @scenario
    async def test_what_a_queue_holds_is_claimed_once_it_is_let_go(self, place: Place) -> None:
        store = place.open()
        await store.enqueue(new(status=Status.ENQUEUED, wake_at=HELD))
        claimed = await store.claim(PROGRAMS, 10)
        assert (claimed.records, claimed.next_due) == ([], None)
        record, _ = await store.acquire(new())
        assert (record.status, record.wake_at) == (Status.ENQUEUED, HELD)
        store.release("one", record.epoch)
        assert (await store.claim(PROGRAMS, 10)).records == []
        record, _ = await store.acquire(new())
        await commit(store, record, wake_at=None)
        store.release("one", record.epoch)
        await store.read("one")
        assert [taken.instance_id for taken in (await store.claim(PROGRAMS, 10)).records] == ["one"]

    @scenario
    async def test_a_worker_is_woken_by_what_is_new(self, place: Place) -> None:
        store, other = place.open(), place.open()
        for number, publisher in enumerate((store, other)):
            seen = await store.changed(None, None, 0)
            waiting = asyncio.create_task(store.changed(None, seen, 60))
            await asyncio.sleep(0.05)
            await publisher.enqueue(new(str(number), status=Status.ENQUEUED))
            async with asyncio.timeout(30):
                await waiting

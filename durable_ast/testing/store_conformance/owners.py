"""An instance from its creation to its end, and who may write to it."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from dataclasses import replace
from unittest import mock

import pytest

from ...errors import StaleOwnerError
from ...state.schema import Outgoing, Status
from ...stores.base import InstanceStore
from ...stores.claiming import InstanceBusy
from .case import PROGRAMS, Place, StoreCase, commit, done, names, new, scenario


class Owners(StoreCase):
    """One owner at a time, and whatever an earlier one writes is refused."""

    @scenario
    async def test_what_was_committed_is_read_by_another_store(self, place: Place) -> None:
        store = place.open()
        record, created = await store.acquire(new(arguments="digest"))
        assert created and record.epoch == 1
        record = await commit(
            store,
            record,
            status=Status.WAITING,
            call_stack=b"two",
            retry=(b"before", b""),
            awaited=("paid", "ünï"),
            wake_at=12345.5,
            outcome=b"so far",
            error="a\nb",
        )
        found = await place.open().read("one")
        assert found is not None
        assert replace(found, updated_at=record.updated_at) == record

    @scenario
    async def test_there_is_nothing_where_nothing_was_written(self, place: Place) -> None:
        store = place.open()
        assert await store.read("one") is None
        assert await store.load("one") is None
        assert await store.messages("one") == []
        assert await store.parts("one") == {}
        assert not await store.delete("one")

    @scenario
    async def test_an_instance_goes_on_where_it_was_released(self, place: Place) -> None:
        store = place.open()
        record, _ = await store.acquire(new())
        await commit(store, record, call_stack=b"here")
        store.release("one", record.epoch)
        again, created = await store.acquire(new(arguments="others"))
        assert not created
        assert (again.call_stack, again.arguments, again.epoch, again.sequence) == (b"here", None, 2, 1)

    @scenario
    async def test_an_instance_has_one_owner(self, place: Place) -> None:
        store, other = place.open(), place.open()
        await store.acquire(new())
        for each in (store, other):
            with pytest.raises(InstanceBusy):
                await each.acquire(new())

    @scenario
    async def test_of_many_who_want_it_one_gets_it(self, place: Place) -> None:
        stores = [place.open() for _ in range(4)]

        async def attempt(store: InstanceStore) -> bool:
            try:
                await store.acquire(new())
            except InstanceBusy:
                return False
            return True

        assert sum(await asyncio.gather(*(attempt(store) for store in stores * 5))) == 1

    @scenario
    async def test_who_does_something_else_for_long_stays_the_owner(self, place: Place) -> None:
        store, other = place.open(), place.open()
        record, _ = await store.acquire(new())
        time.sleep(1.5 * self.lease)
        assert (await other.claim(PROGRAMS, 1)).records == []
        with pytest.raises(InstanceBusy):
            await other.acquire(new())
        await commit(store, record, call_stack=b"still mine")

    @scenario
    async def test_a_clock_that_is_set_takes_nothing_from_its_owner(self, place: Place) -> None:
        store, other = place.open(), place.open()
        record, _ = await store.acquire(new())
        for hours in (5, -5):
            with mock.patch("time.time", functools.partial(_shifted, time.time, 3600 * hours)):
                await asyncio.sleep(self.lease / 2)
                assert (await other.claim(PROGRAMS, 1)).records == []
                with pytest.raises(InstanceBusy):
                    await other.acquire(new())
                record = await commit(store, record, call_stack=b"%d" % hours)
        found = await other.read("one")
        assert found is not None and (found.call_stack, found.epoch) == (b"-5", record.epoch)

    @scenario
    async def test_a_write_of_an_earlier_owner_is_refused_whole(self, place: Place) -> None:
        store, other = place.open(), place.open()
        old, _ = await store.acquire(new())
        await asyncio.wrap_future(store.publish("one", "kept", b""))
        (message,) = await store.messages("one")
        store.release("one", old.epoch)
        await store.read("one")  # the release has been done
        current, _ = await other.acquire(new())
        letter = Outgoing("two", "hello", b"")
        with pytest.raises(StaleOwnerError, match="one"):
            await commit(
                store, old, consumed=(message.number,), parts={"v/a": b"1"}, outbox=(letter,), call_stack=b"stale"
            )
        found = await other.read("one")
        assert found is not None and (found.call_stack, found.epoch) == (b"start", current.epoch)
        assert await other.parts("one") == {}
        assert await names(other, "one") == ["kept"]
        assert await names(other, "two") == []

    @scenario
    async def test_an_earlier_owner_cannot_let_go_of_what_another_one_owns(self, place: Place) -> None:
        store, other = place.open(), place.open()
        old, _ = await store.acquire(new())
        store.release("one", old.epoch)
        await store.read("one")  # the release has been done
        current, _ = await other.acquire(new())
        store.release("one", old.epoch)
        await store.read("one")
        with pytest.raises(InstanceBusy):
            await place.open().acquire(new())
        assert (await store.claim(PROGRAMS, 1)).records == []
        await commit(other, current, call_stack=b"still mine")

    @scenario
    async def test_an_instance_that_stands_still_can_be_taken(self, place: Place) -> None:
        store, other = place.open(), place.open()
        for status in (Status.ERROR, Status.PARKED, Status.PAUSED, Status.WAITING):
            record, _ = await store.acquire(new(status.value))
            await commit(store, record, status=status, call_stack=b"here", outcome=b"so far")
            store.release(status.value, record.epoch)
            await store.read(status.value)
            again, created = await other.acquire(new(status.value))
            assert not created
            assert (again.status, again.call_stack, again.epoch) == (status, b"here", 2)
            await commit(other, again, status=Status.RUNNING, call_stack=b"further")

    @scenario
    async def test_what_becomes_of_a_record_later_is_not_stored(self, place: Place) -> None:
        store = place.open()
        initial = new(status=Status.ENQUEUED)
        await store.enqueue(initial)
        initial.call_stack = b"later"
        record, _ = await store.acquire(initial)
        assert record.call_stack == b"start"
        record.sequence, record.call_stack = 1, b"written"
        writing = store.commit(record, (), True)
        record.sequence, record.call_stack, record.status = 2, b"later", Status.ERROR
        await done(writing)
        for _ in range(2):
            (listed,), found = await store.records(), await store.read("one")
            assert found is not None
            for each in (listed, found):
                assert (each.sequence, each.call_stack, each.status) == (1, b"written", Status.ENQUEUED)
                each.call_stack, each.status = b"changed", Status.SUCCESS

    @scenario
    async def test_an_instance_that_has_ended_has_no_owner(self, place: Place) -> None:
        store = place.open()
        record, _ = await store.acquire(new())
        await commit(store, record, status=Status.SUCCESS, call_stack=None, outcome=b"result")
        store.release("one", record.epoch)
        for each in (store, place.open()):
            again, created = await each.acquire(new())
            assert not created
            assert (again.status, again.outcome, again.epoch) == (Status.SUCCESS, b"result", 1)

    @scenario
    async def test_an_instance_that_is_enqueued_belongs_to_whoever_takes_it(self, place: Place) -> None:
        store = place.open()
        assert await store.enqueue(new(status=Status.ENQUEUED, arguments="a"))
        assert not await store.enqueue(new(status=Status.ENQUEUED, arguments="b"))
        record, created = await place.open().acquire(new())
        assert not created
        assert (record.arguments, record.call_stack, record.epoch) == ("a", b"start", 1)
        assert not await store.enqueue(new(status=Status.ENQUEUED))


def _shifted(clock: Callable[[], float], seconds: float) -> float:
    return clock() + seconds

"""What every store must do, as tests that anyone can run on a store of their own.

Subclass `StoreConformance` in a test module, say how your store is opened, and let pytest collect it:

    class TestMyStore(StoreConformance):
        def open(self, place):
            return MyStore(place / "data")

Each test gets an empty folder as its `place`; two stores opened at one place must see the same data,
as two processes would.  No plugin of pytest is needed.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import signal
import time
import traceback
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ..errors import StaleOwnerError
from ..state.schema import Outgoing, Record, Status
from ..stores.base import NO_PARTS, InstanceBusy, InstanceStore, Parts

PROGRAMS = ("tests:program",)

ODD_IDS = (
    "../up",
    "/etc/passwd",
    "a" * 512,
    "q'uo\"te; DROP TABLE instances; --",
    "per%cent_under{brace}*glob?[x]",
    "line\nbreak\ttab\r",
    "ünï-日本-🐍",
    ".",
    "..",
    ".hidden",
    "CON",
    "trailing.",
    "trailing ",
    " ",
    "case",
    "CASE",
    "\x01\x7f",
)


class Place:
    """Where a test keeps its data, and the stores that it opened there."""

    def __init__(self, open_store: Callable[[Path], InstanceStore], path: Path) -> None:
        self._open, self._path = open_store, path
        self._stores: list[InstanceStore] = []

    def open(self) -> InstanceStore:
        """Another store on the same data."""
        self._stores.append(self._open(self._path))
        return self._stores[-1]

    async def close(self) -> None:
        for store in self._stores:
            await store.close()


_Scenario = Callable[[Any, Place], Coroutine[Any, Any, None]]


def scenario(test: _Scenario) -> Callable[[Any, Path], None]:
    """A test method that is given a place."""

    @functools.wraps(test)
    def run(self: StoreConformance, tmp_path: Path) -> None:
        async def main() -> None:
            place = Place(self.open, tmp_path)
            try:
                await test(self, place)
            finally:
                await place.close()

        asyncio.run(main())

    run.__signature__ = inspect.signature(_takes_place)  # type: ignore[attr-defined]
    return run


def _takes_place(self: Any, tmp_path: Path) -> None: ...


def new(instance_id: str = "one", **facts: Any) -> Record:
    """The record of an instance that has not started."""
    return Record(**{"instance_id": instance_id, "program": PROGRAMS[0], "call_stack": b"start", **facts})


async def commit(
    store: InstanceStore,
    record: Record,
    *,
    consumed: tuple[int, ...] = (),
    parts: Parts = NO_PARTS,
    outbox: tuple[Outgoing, ...] = (),
    **changes: Any,
) -> Record:
    """Commit the next transition of an instance; gives its record from then on."""
    record = replace(record, sequence=record.sequence + 1, **changes)
    await done(store.commit(record, consumed, True, parts, outbox))
    return record


async def done(writing: Awaitable[None] | None) -> None:
    """Wait for a commit."""
    if writing is not None:
        await writing


async def names(store: InstanceStore, instance_id: str) -> list[str]:
    """The names of the messages in a mailbox."""
    return [message.name for message in await store.messages(instance_id)]


class StoreConformance:
    """The tests.  Subclasses define `open`, and say what their store cannot do."""

    lists = True
    """Whether it can list all instances, also those that another store object has written."""

    def open(self, place: Path) -> InstanceStore:
        """A store whose data is at `place`."""
        raise NotImplementedError

    # an instance

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
    async def test_every_id_is_an_instance_of_its_own(self, place: Place) -> None:
        store = place.open()
        for number, instance_id in enumerate(ODD_IDS):
            record, created = await store.acquire(new(instance_id))
            assert created, instance_id
            await commit(store, record, call_stack=str(number).encode(), parts={instance_id: b"part"})
            await asyncio.wrap_future(store.publish(instance_id, instance_id, str(number).encode()))
        for number, instance_id in enumerate(ODD_IDS):
            record_now = await store.read(instance_id)
            assert record_now is not None and record_now.call_stack == str(number).encode(), instance_id
            assert record_now.instance_id == instance_id
            assert await store.parts(instance_id) == {instance_id: b"part"}
            (message,) = await store.messages(instance_id)
            assert (message.name, message.payload) == (instance_id, str(number).encode())

    @scenario
    async def test_large_values_come_back_whole(self, place: Place) -> None:
        store = place.open()
        large = bytes(range(256)) * 40_960  # 10 MB
        record, _ = await store.acquire(new())
        await asyncio.wrap_future(store.publish("one", "large", large))
        await commit(store, record, call_stack=large, parts={"v/large": large[::-1]})
        found = await place.open().read("one")
        assert found is not None and found.call_stack == large
        assert await store.parts("one") == {"v/large": large[::-1]}
        assert [message.payload for message in await store.messages("one")] == [large]

    @scenario
    async def test_a_large_state_that_changes_bit_by_bit_is_always_the_last_one(self, place: Place) -> None:
        store, other = place.open(), place.open()
        record, _ = await store.acquire(new())
        state, last = bytearray(range(256)) * 400, b""
        for step in range(40):
            state[step * 997 : step * 997 + step] = b"%d" % step
            if step == 20:
                store.release("one", record.epoch)
                record, _ = await store.acquire(new())
                assert record.call_stack == last
            if step == 30:
                state = state[: len(state) // 3]
            last = bytes(state)
            record = await commit(store, record, call_stack=last)
            if step % 7 == 0:
                found = await other.read("one")
                assert found is not None and found.call_stack == last
        assert await store.parts("one") == {}
        record = await commit(store, record, call_stack=b"small")
        record = await commit(store, record, call_stack=last)
        (found,) = await store.records()
        assert found.call_stack == last
        await commit(store, record, status=Status.SUCCESS, call_stack=None)
        found_now = await other.read("one")
        assert found_now is not None and found_now.call_stack is None

    @scenario
    async def test_any_text_of_an_error_can_be_kept(self, place: Place) -> None:
        store = place.open()
        record, _ = await store.acquire(new())
        await commit(store, record, status=Status.ERROR, error="odd: \ud800 \0 end")
        found = await store.read("one")
        assert found is not None and found.error is not None
        assert found.error.startswith("odd: ") and found.error.endswith(" end")

    # who owns it

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

    # what can go on

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
            assert [taken.instance_id for taken in (await store.claim(PROGRAMS, 1)).records] == [instance_id]

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
    async def test_a_worker_is_woken_by_what_is_new(self, place: Place) -> None:
        store, other = place.open(), place.open()
        for number, publisher in enumerate((store, other)):
            seen = await store.changed(None, None, 0)
            waiting = asyncio.create_task(store.changed(None, seen, 60))
            await asyncio.sleep(0.05)
            await publisher.enqueue(new(str(number), status=Status.ENQUEUED))
            async with asyncio.timeout(30):
                await waiting

    def test_what_a_dead_process_owned_is_claimed(self, tmp_path: Path) -> None:
        if not self.lists:
            pytest.skip("its data is in one process")
        self._kill_after(tmp_path, 1, self._own)

        async def main() -> None:
            store = self.open(tmp_path)
            try:
                record = await self._claimed(store)
                assert (record.call_stack, record.recoveries) == (b"half way", 1)
                assert record.epoch > 1
                record = await commit(store, record)
                found = await store.read("one")
                assert found is not None and found.recoveries == 0
            finally:
                await store.close()

        asyncio.run(main())

    def test_what_was_acknowledged_survives_a_kill_at_any_moment(self, tmp_path: Path) -> None:
        if not self.lists:
            pytest.skip("its data is in one process")
        for round_number in range(3):
            least = self._kill_after(tmp_path, 7 * round_number + 5, self._count)

            async def main(least: int = int(least)) -> None:
                store = self.open(tmp_path)
                try:
                    record = await self._claimed(store)
                    count = int(record.state or b"0")
                    assert count >= least
                    assert (await store.parts("one"))["v/count"] == record.state
                    received = [int(message.payload) for message in await store.messages("two")]
                    assert received == list(range(1, count + 1))
                finally:
                    await store.close()

            asyncio.run(main())

    async def _own(self, store: InstanceStore, tell: Callable[[bytes], object]) -> None:
        record, _ = await store.acquire(new())
        await commit(store, record, call_stack=b"half way")
        tell(b"owned\n")
        await asyncio.sleep(3600)

    async def _count(self, store: InstanceStore, tell: Callable[[bytes], object]) -> None:
        """Count in the record, in a part, and in messages to another instance."""
        if await store.read("one") is None:
            await store.enqueue(new(status=Status.ENQUEUED, call_stack=None))
        record = await self._claimed(store)
        while True:
            count = b"%d" % (int(record.state or b"0") + 1)
            letter = Outgoing("two", "count", count)
            record = await commit(store, record, call_stack=count, parts={"v/count": count}, outbox=(letter,))
            tell(count + b"\n")

    async def _claimed(self, store: InstanceStore) -> Record:
        async with asyncio.timeout(60):
            while True:
                claimed = await store.claim(PROGRAMS, 1)
                if claimed.records:
                    return claimed.records[0]
                await asyncio.sleep(0.05)

    def _kill_after(
        self,
        place: Path,
        lines: int,
        work: Callable[[InstanceStore, Callable[[bytes], object]], Coroutine[Any, Any, None]],
    ) -> bytes:
        """Work in another process until it has told so many lines, then kill it; gives the last line."""
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads; they are not used
            child = os.fork()
        if child == 0:
            try:
                asyncio.run(work(self.open(place), lambda text: os.write(writing, text)))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(writing)
        heard = b""
        try:
            while heard.count(b"\n") < lines:
                more = os.read(reading, 65536)
                assert more, "the other process ended by itself"
                heard += more
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            while more := os.read(reading, 65536):
                heard += more
            os.close(reading)
        return heard.splitlines(keepends=True)[-1 if heard.endswith(b"\n") else -2]

    # parts

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

    # messages

    @scenario
    async def test_messages_come_in_the_order_in_which_they_were_published(self, place: Place) -> None:
        store = place.open()
        published = [store.publish("one", f"event {number % 3}", b"%d" % number) for number in range(50)]
        numbers = [await asyncio.wrap_future(each) for each in published]
        assert numbers == sorted(set(numbers))
        messages = await place.open().messages("one")
        assert [message.number for message in messages] == numbers
        assert [message.payload for message in messages] == [b"%d" % number for number in range(50)]

    @scenario
    async def test_the_oldest_message_of_a_name(self, place: Place) -> None:
        store = place.open()
        for name, payload in (("a", b"1"), ("b", b"2"), ("b", b"3")):
            await asyncio.wrap_future(store.publish("one", name, payload))
        message = await store.message("one", "b")
        assert message is not None and (message.name, message.payload) == ("b", b"2")
        assert await store.message("one", "c") is None

    @scenario
    async def test_a_message_that_is_offered_is_taken_if_none_of_that_name_waits(self, place: Place) -> None:
        store, other = place.open(), place.open()
        offers = [each.offer("one", "a", b"%d" % number) for number, each in enumerate((store, other) * 5)]
        assert sorted(await asyncio.gather(*offers)) == [False] * 9 + [True]
        assert await store.offer("one", "b", b"") and await store.offer("two", "a", b"")
        assert await names(other, "one") == ["a", "b"]
        record, _ = await store.acquire(new())
        await commit(store, record, consumed=tuple([message.number for message in await store.messages("one")]))
        assert await store.offer("one", "a", b"again")

    @scenario
    async def test_results_and_signals_of_runs(self, place: Place) -> None:
        store = place.open()
        await store.setup()
        assert await store.get_step("run", "step") == (False, None)
        await store.set_step("run", "step", None)
        assert await store.get_step("run", "step") == (True, None)
        await store.set_step("run", "step", {"tuple": (1, 2)}, attempt=3)
        assert await store.get_step("run", "step") == (True, {"tuple": (1, 2)})
        await store.set_step("a:b", "c", 1)
        assert await store.get_step("a", "b:c") == await store.get_step("a:", "b:c") == (False, None)
        assert await store.get_signal("run", "s") == (False, None)
        assert await store.set_signal("run", "s", []) and not await store.set_signal("run", "s", 1)
        assert await place.open().get_signal("run", "s") == (True, [])
        await store.mark_run_failed("run", "error")
        await store.mark_run_done("run")

    @scenario
    async def test_a_message_is_consumed_with_the_checkpoint_that_takes_it(self, place: Place) -> None:
        store = place.open()
        for name in ("a", "b", "c"):
            await asyncio.wrap_future(store.publish("one", name, b""))
        record, _ = await store.acquire(new())
        first, second, _ = await store.messages("one")
        record = await commit(store, record, consumed=(second.number,))
        assert await names(place.open(), "one") == ["a", "c"]
        await commit(store, record, consumed=(first.number,))
        assert await names(store, "one") == ["c"]

    @scenario
    async def test_an_outbox_is_delivered_with_the_checkpoint_that_sends_it(self, place: Place) -> None:
        store = place.open()
        record, _ = await store.acquire(new())
        letters = (Outgoing("two", "a", b"1"), Outgoing("one", "to myself", b""), Outgoing("two", "b", b"2"))
        record = await commit(store, record, outbox=letters)
        record = await commit(store, record, outbox=(Outgoing("two", "c", b"3"),))
        messages = await place.open().messages("two")
        assert [(message.name, message.payload) for message in messages] == [("a", b"1"), ("b", b"2"), ("c", b"3")]
        assert await names(store, "one") == ["to myself"]

    @scenario
    async def test_a_message_that_cannot_be_stored_takes_no_other_with_it(self, place: Place) -> None:
        store = place.open()
        published = [store.publish("one", name, b"") for name in ("a", "b \ud800", "c")]
        stored = [await asyncio.wait([asyncio.wrap_future(each)]) for each in published]
        assert len(stored) == 3
        assert published[0].exception() is None and published[2].exception() is None
        if published[1].exception() is None:
            assert await names(store, "one") == ["a", "b \ud800", "c"]
        else:
            assert await names(store, "one") == ["a", "c"]

    @scenario
    async def test_whoever_waits_is_woken(self, place: Place) -> None:
        store, other = place.open(), place.open()
        for publisher in (store, other):
            seen = await store.changed("one", None, 0)
            waiting = asyncio.create_task(store.changed("one", seen, 60))
            await asyncio.sleep(0.05)
            await asyncio.wrap_future(publisher.publish("one", "event", b""))
            async with asyncio.timeout(30):
                await waiting

    @scenario
    async def test_a_part_wakes_whoever_waits(self, place: Place) -> None:
        store, other = place.open(), place.open()
        record, _ = await store.acquire(new("one"))
        for waiter in (store, other):
            seen = await waiter.changed("one", None, 0)
            waiting = asyncio.create_task(waiter.changed("one", seen, 60))
            await asyncio.sleep(0.05)
            await commit(store, record, parts={"v/a": b"1"})
            async with asyncio.timeout(30):
                await waiting

    @scenario
    async def test_whoever_watches_is_called(self, place: Place) -> None:
        store, other = place.open(), place.open()
        calls: asyncio.Queue[None] = asyncio.Queue()
        end = store.watch("one", lambda: calls.put_nowait(None))
        async with asyncio.timeout(30):
            await calls.get()
            for publisher in (store, other, store):
                await asyncio.sleep(0.15)
                while not calls.empty():
                    calls.get_nowait()
                await asyncio.wrap_future(publisher.publish("one", "event", b""))
                await calls.get()
        end()
        await asyncio.sleep(0.15)
        while not calls.empty():
            calls.get_nowait()
        await asyncio.wrap_future(store.publish("one", "event", b""))
        await asyncio.sleep(0.2)
        assert calls.empty()

    @scenario
    async def test_waiting_ends_with_the_time(self, place: Place) -> None:
        store = place.open()
        seen = await store.changed("one", None, 0)
        async with asyncio.timeout(30):
            await store.changed("one", seen, 0.05)

    # listing

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
        assert await ids(status=()) == []
        assert await ids(prefix="b%_") == ["b%_3", "b%_1"]
        assert await ids(prefix="_") == []
        assert await ids(since=1002.0) == ["b%_3", "a%_2"]
        assert await ids(status={Status.RUNNING}, since=1001.0, limit=1) == ["b%_1"]

    @scenario
    async def test_times_are_known(self, place: Place) -> None:
        store = place.open()
        before = time.time()
        record, _ = await store.acquire(new())
        await commit(store, record)
        found = await store.read("one")
        assert found is not None
        assert before - 1 <= found.created_at <= found.updated_at <= time.time() + 1

    # retention

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

    # plain states

    @scenario
    async def test_a_plain_state_is_loaded_as_it_was_saved(self, place: Place) -> None:
        store = place.open()
        state = {"text": "ünï", "data": b"\0", "list": [1, None]}
        await store.save("plain", state)
        assert await place.open().load("plain") == state
        await store.save("plain", {})
        assert await store.load("plain") == {}

"""What can be kept: ids and texts of any kind, large values, plain states."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from ...errors import InvalidInstanceIdError
from ...state.schema import Status
from .case import ODD_IDS, Place, StoreCase, commit, names, new, scenario


class Values(StoreCase):
    """Ids, texts and values come back as they were."""

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
    async def test_an_id_is_refused_or_kept_but_never_taken_for_another(self, place: Place) -> None:
        store = place.open()
        for instance_id in ("", "a\0b", "'" * 10_000, "🐍" * 10_000):
            try:
                await store.enqueue(new(instance_id))
                await asyncio.wrap_future(store.publish(instance_id, "hello", b""))
            except InvalidInstanceIdError:
                continue
            found = await store.read(instance_id)
            assert found is not None and found.instance_id == instance_id
            assert await names(store, instance_id) == ["hello"]
        for instance_id in ("a", "b", "ab", "a\\x00b", "'" * 512, "🐍" * 512):
            assert await store.read(instance_id) is None
            assert await names(store, instance_id) == []

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
    async def test_what_is_written_at_once_comes_back_as_each_wrote_it(self, place: Place) -> None:
        store = place.open()
        written: list[dict[str, Any]] = [
            {"status": Status.RUNNING, "call_stack": b"\0\xff"},
            {"status": Status.RUNNING, "call_stack": b"", "retry": (b"before", b"")},
            {"status": Status.WAITING, "awaited": ("first", "zwölf, {'\"NULL"), "wake_at": 1e9 + 0.25},
            {"status": Status.SLEEPING, "wake_at": 2e9, "call_stack": None},
            {"status": Status.ERROR, "outcome": b"outcome", "error": 'with {"quotes", \\ and\nlines}'},
            {"status": Status.PARKED, "error": ""},
            {"status": Status.SUCCESS, "outcome": b"", "call_stack": None},
        ]
        records = [(await store.acquire(new(str(number))))[0] for number in range(len(written))]
        records = await asyncio.gather(
            *(commit(store, record, **facts) for record, facts in zip(records, written, strict=True))
        )
        for record in records:
            found = await store.read(record.instance_id)
            assert found is not None
            assert replace(found, updated_at=0.0) == replace(record, updated_at=0.0)

    @scenario
    async def test_any_text_of_an_error_can_be_kept(self, place: Place) -> None:
        store = place.open()
        record, _ = await store.acquire(new())
        await commit(store, record, status=Status.ERROR, error="odd: \ud800 \0 end")
        found = await store.read("one")
        assert found is not None and found.error is not None
        assert found.error.startswith("odd: ") and found.error.endswith(" end")

    @scenario
    async def test_a_plain_state_is_loaded_as_it_was_saved(self, place: Place) -> None:
        store = place.open()
        state = {"text": "ünï", "data": b"\0", "list": [1, None]}
        await store.save("plain", state)
        assert await place.open().load("plain") == state
        await store.save("plain", {})
        assert await store.load("plain") == {}

"""The mailboxes of instances, and who is told of news."""

from __future__ import annotations

import asyncio

from ...state.schema import Outgoing, Status
from .case import Place, StoreCase, commit, names, new, scenario


class Messages(StoreCase):
    """Messages are kept in order, and each is consumed once."""

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
    async def test_whoever_waits_no_more_for_a_message_to_be_stored_stops_nobody(self, place: Place) -> None:
        store = place.open()
        for number in range(20):
            storing = asyncio.wrap_future(store.publish("one", "given up", b"%d" % number))
            await asyncio.sleep(0)
            storing.cancel()
        async with asyncio.timeout(10):
            await asyncio.wrap_future(store.publish("one", "waited for", b""))
            assert (await names(store, "one"))[-1] == "waited for"

    @scenario
    async def test_the_oldest_message_of_a_name(self, place: Place) -> None:
        store = place.open()
        for name, payload in (("a", b"1"), ("b", b"2"), ("b", b"3")):
            await asyncio.wrap_future(store.publish("one", name, payload))
        message = await store.message("one", "b")
        assert message is not None and (message.name, message.payload) == ("b", b"2")
        assert await store.message("one", "c") is None

    @scenario
    async def test_the_mailboxes_of_several_instances_are_read_together(self, place: Place) -> None:
        store = place.open()
        for instance_id, name in (("one", "a"), ("two", "b"), ("one", "c"), ("other", "d")):
            await asyncio.wrap_future(store.publish(instance_id, name, name.encode()))
        found = await place.open().mailboxes(["one", "two", "three"])
        names = {key: [message.name for message in messages] for key, messages in found.items() if messages}
        assert names == {"one": ["a", "c"], "two": ["b"]}
        assert [message.payload for message in found["one"]] == [b"a", b"c"]

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
    async def test_an_instance_is_completed_if_it_may_still_need_it(self, place: Place) -> None:
        store, other = place.open(), place.open()
        assert await other.complete("one", "a", b"1", "s/a", "rivals of one"), "it need not exist yet"
        assert not await store.complete("one", "a", b"2", "s/a", "rivals of one")
        record, _ = await store.acquire(new())
        consumed = tuple([message.number for message in await store.messages("one")])
        record = await commit(
            store, record, consumed=consumed, parts={"s/a": b""}, awaited=("b",), status=Status.WAITING
        )
        assert await other.complete("one", "a", b"3", "s/a", "rivals of one") is False, "it has had one"
        record = await commit(store, record, awaited=("b", "a"), status=Status.WAITING)
        assert await other.complete("one", "a", b"4", "s/a", "rivals of one"), "it waits for another one"
        await asyncio.wrap_future(store.publish("rivals of one", "two", b""))
        assert await other.complete("one", "b", b"", "s/b", "rivals of one") is None
        assert await names(store, "one") == ["a"]
        assert await other.complete("one", "b", b"", "s/b")
        await commit(store, record, status=Status.SUCCESS, outcome=b"", call_stack=None, awaited=())
        assert await other.complete("one", "c", b"", "s/c") is False, "it has ended"
        assert await names(store, "one") == ["a", "b"]

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
    async def test_several_messages_are_consumed_at_once_and_no_number_is_given_again(self, place: Place) -> None:
        store, other = place.open(), place.open()
        numbers = [await asyncio.wrap_future(store.publish("one", name, b"")) for name in "abcd"]
        record, _ = await store.acquire(new())
        record = await commit(store, record, consumed=(numbers[0], numbers[2]))
        assert await names(store, "one") == ["b", "d"]
        numbers += [await asyncio.wrap_future(other.publish("one", name, b"")) for name in "ef"]
        assert numbers == sorted(set(numbers))
        record = await commit(store, record, consumed=tuple(numbers[1:5]))
        assert await names(store, "one") == ["f"]
        assert await asyncio.wrap_future(store.publish("one", "g", b"")) > numbers[-1]
        await commit(store, record, consumed=tuple(numbers))
        assert await names(store, "one") == ["g"]

    @scenario
    async def test_an_outbox_is_delivered_with_the_checkpoint_that_sends_it(self, place: Place) -> None:
        store = place.open()
        record, _ = await store.acquire(new())
        letters = (Outgoing("two", "a", b"1"), Outgoing("one", "to myself", b""), Outgoing("two", "b", b"2"))
        record = await commit(store, record, outbox=(*letters, Outgoing("two", "a", b"3")))
        record = await commit(store, record, outbox=(Outgoing("two", "a", b"3"),))
        messages = await place.open().messages("two")
        assert [message.name for message in messages] == ["a", "b", "a", "a"]
        assert [message.payload for message in messages] == [b"1", b"2", b"3", b"3"]
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
    async def test_what_came_between_two_waits_is_not_missed(self, place: Place) -> None:
        store, other = place.open(), place.open()
        record, _ = await store.acquire(new(status=Status.WAITING, awaited=("event",)))
        store.release("one", record.epoch)
        for publisher in (store, other):
            of_it, of_any = await store.changed("one", None, 0), await store.changed(None, None, 0)
            await asyncio.wrap_future(publisher.publish("one", "event", b""))
            async with asyncio.timeout(30):
                await store.changed("one", of_it, 60)
                await store.changed(None, of_any, 60)

    @scenario
    async def test_whoever_waits_for_an_instance_is_woken_when_it_is_let_go(self, place: Place) -> None:
        store, other = place.open(), place.open()
        for waiter in (store, other):
            record, _ = await store.acquire(new())
            seen = await waiter.changed("one", None, 0)
            waiting = asyncio.create_task(waiter.changed("one", seen, 60))
            await asyncio.sleep(0.05)
            store.release("one", record.epoch)
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

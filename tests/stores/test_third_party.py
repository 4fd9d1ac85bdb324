"""A store that somebody else has written: the kit runs on it, and so do programs."""

import asyncio
import contextlib
import itertools
from concurrent.futures import Future
from pathlib import Path
from threading import RLock

import pytest

from durable_ast import DurableBackend, make_durable
from durable_ast.errors import StaleOwnerError
from durable_ast.state.schema import Message
from durable_ast.stores.base import InstanceStore
from durable_ast.stores.claiming import InstanceBusy
from durable_ast.stores.parts import NO_PARTS, TRANSIENT
from durable_ast.testing.store_conformance import StoreConformance, commit, new


class Shelf(InstanceStore):
    """Keeps instances in dictionaries, and looks again ten times a second for what has changed."""

    def __init__(self):
        self._records, self.kept, self.mail, self.states, self.owned = {}, {}, {}, {}, set()
        self.numbers, self.lock, self.version = itertools.count(1), RLock(), 0

    async def load(self, instance_id):
        record = self._records.get(instance_id)
        return self.states.get(instance_id) if record is None else record.to_state()

    async def save(self, instance_id, state):
        self.states[instance_id] = dict(state)

    async def acquire(self, initial):
        with self.lock:
            created = initial.instance_id not in self._records
            if not created and initial.instance_id in self.owned:
                raise InstanceBusy
            record = self._records.setdefault(initial.instance_id, initial.copy())
            if not record.status.is_final:
                record.epoch += 1
                self.owned.add(initial.instance_id)
            return record.copy(), created

    async def enqueue(self, record):
        with self.lock:
            if record.instance_id in self._records:
                return False
            self._records[record.instance_id] = record.copy()
            self.version += 1
            return True

    def commit(self, record, consumed, flush, parts=NO_PARTS, outbox=()):
        with self.lock:
            stored = self._records.get(record.instance_id)
            if stored is None or stored.epoch != record.epoch:
                raise StaleOwnerError(f"instance {record.instance_id!r} has another owner")
            stored.advance(record)
            kept = {**self.kept.get(record.instance_id, {}), **parts}
            self.kept[record.instance_id] = {
                name: value
                for name, value in kept.items()
                if value is not None and not (record.status.is_final and name.startswith(TRANSIENT))
            }
            mail = self.mail.get(record.instance_id, [])
            self.mail[record.instance_id] = [message for message in mail if message.number not in consumed]
            for letter in outbox:
                self._put(letter.instance_id, letter.name, letter.payload)
            self.version += 1

    def release(self, instance_id, epoch):
        with self.lock:
            if instance_id in self._records and self._records[instance_id].epoch == epoch:
                self.owned.discard(instance_id)
            self.version += 1

    async def read(self, instance_id):
        record = self._records.get(instance_id)
        return None if record is None else record.copy()

    async def parts(self, instance_id, prefix=""):
        return {name: value for name, value in self.kept.get(instance_id, {}).items() if name.startswith(prefix)}

    async def messages(self, instance_id):
        return list(self.mail.get(instance_id, ()))

    def _put(self, instance_id, name, payload):
        number = next(self.numbers)
        self.mail.setdefault(instance_id, []).append(Message(number, name, payload))
        self.version += 1
        return number

    def publish(self, instance_id, name, payload):
        done = Future()
        with self.lock:
            done.set_result(self._put(instance_id, name, payload))
        return done

    async def offer(self, instance_id, name, payload):
        with self.lock:
            if any(message.name == name for message in self.mail.get(instance_id, ())):
                return False
            self._put(instance_id, name, payload)
            return True

    async def changed(self, instance_id, seen, timeout):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while seen == self.version:
                    await asyncio.sleep(0.1)
        return self.version

    async def select(self, selection):
        return [record.copy() for record in selection.page(reversed(self._records.values()))]

    async def delete(self, instance_id):
        with self.lock:
            if instance_id in self.owned:
                raise InstanceBusy
            for place in (self.kept, self.mail, self.states):
                place.pop(instance_id, None)
            return self._records.pop(instance_id, None) is not None

    async def drop_parts(self, instance_id, prefix):
        with self.lock:
            gone = await self.parts(instance_id, prefix)
            for name in gone:
                del self.kept[instance_id][name]
            return len(gone)


class TestShelf(StoreConformance):
    lists = False

    @pytest.fixture(autouse=True)
    def _fresh(self):
        self._store = Shelf()

    def open(self, place: Path):
        return self._store


class Forgetful(Shelf):
    """Forgets who owns what with each write, and what was sent."""

    def commit(self, record, consumed, flush, parts=NO_PARTS, outbox=()):
        record.epoch = self._records[record.instance_id].epoch
        super().commit(record, consumed, flush, parts)


@pytest.mark.parametrize(
    "test", ["test_a_write_of_an_earlier_owner_is_refused_whole", "test_an_outbox_is_delivered_with_the_checkpoint"]
)
def test_the_kit_finds_what_a_store_does_wrong(test, tmp_path):
    class Case(StoreConformance):
        lists = False

        def open(self, place):
            return store

    store = Forgetful()
    (name,) = (name for name in dir(Case) if name.startswith(test))
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(Case(), name)(tmp_path)


@make_durable(deep=False)
async def carry(steps: int) -> int:
    items = [f"element {number} {'x' * 90}" for number in range(2_000)]
    for step in range(steps):
        items[step] = await changed(step)
    return len({*items})


async def changed(step):
    return f"step {step}"


async def test_large_states_are_given_to_it_as_patches_too():
    store = Shelf()
    record, _ = await store.acquire(new("other"))
    await commit(store, record)
    sizes = []
    write = store.commit
    store.commit = lambda record, *rest: (sizes.append(len(record.state or b"")), write(record, *rest))[1]
    assert await carry(50, orchestration_backend=DurableBackend(store), instance_id="it") == 2_000
    assert max(sizes) < 2_000

"""Steps in branches: each has its own keys, attempts and journal."""

import asyncio
import pickle

from durable_ast import current_step, make_durable, step, step_key

from ..effects import LOG, note
from ..everywhere import RecordingStore, everywhere
from .test_journal import nested, run


@step
async def keyed(shared=None):
    await asyncio.sleep(0)
    return step_key()


@step(retries=2)
async def retried(name):
    attempt = current_step().attempt
    note((name, attempt))
    await asyncio.sleep(0)
    if attempt < 3:
        raise OSError(f"{name} {attempt}")
    return name, attempt


@everywhere(plain=False)
async def test_keys_are_the_same_after_a_crash():
    shared: list[str] = []

    async def loop(name):
        keys = []
        for _ in range(3):
            keys.append(await keyed(shared))
            shared.append(name)
        return keys

    one, two, three = await asyncio.gather(loop("a"), loop("b"), keyed())
    keys = [*one, *two, three]
    assert len(set(keys)) == 7
    return keys


async def both(names):
    return await asyncio.gather(*(retried(name) for name in names), nested("x"))


@make_durable
async def branches():
    shared: list[str] = []

    async def one(name):
        first = await step(both)([name])
        shared.append(name)
        return first, await retried(f"{name}!")

    return await asyncio.gather(one("a"), one("b"), nested("c"))


async def test_resumed_from_every_write():
    store = RecordingStore()
    LOG.clear()
    expected = await run(branches, store=store)
    assert expected == [
        ([("a", 3), ("x", "x")], ("a!", 3)),
        ([("b", 3), ("x", "x")], ("b!", 3)),
        ("c", "c"),
    ]
    finished = [(name, 3) for name in ("a", "a!", "b", "b!")] + [("unit", "x")] * 4 + [("unit", "c")] * 2
    assert sorted(entry for entry in LOG if entry[1] not in (1, 2)) == sorted(finished)
    log = list(LOG)
    for executed, state in store.states:
        LOG.clear()
        assert await run(branches, store=RecordingStore(state)) == expected
        everything = log[:executed] + LOG
        for entry in finished:
            assert finished.count(entry) <= everything.count(entry) <= finished.count(entry) + 1
    assert "j/" not in str(pickle.loads(store.last)), "entries are left"

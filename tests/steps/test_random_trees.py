"""Random trees of steps in steps: the result of the plain function, and no finished unit again."""

import asyncio
import collections
import random

import pytest

from durable_ast import current_step, make_durable, step

from ..effects import LOG, note
from ..everywhere import RecordingStore
from .test_journal import run


def tree(chance: random.Random, depth: int, names):
    """A unit, or a few trees: one after the other, at once, or tried again."""
    kind = "unit" if not depth else chance.choice(["unit", "seq", "par", "retried", "plain"])
    if kind == "unit":
        return kind, f"{next(names)}" if chance.random() < 0.7 else "same", chance.randrange(4)
    return kind, [tree(chance, depth - 1, names) for _ in range(chance.randrange(1, 4))], chance.randrange(3)


async def walk(node):
    """Carry out a tree."""
    kind, about, number = node
    if kind == "unit":
        return await unit(about, number)
    if kind == "par":
        return await asyncio.gather(*map(walk, about))
    if kind == "retried":
        return await retried(about, number)
    if kind == "plain":
        return await nested(about)
    return [await walk(child) for child in about]


@step
async def unit(name, turns):
    for _ in range(turns):
        await asyncio.sleep(0)
    note(name)
    return f"{name}'s result"


@step
async def nested(children):
    return [await walk(child) for child in children]


@step(retries=2)
async def retried(children, failures):
    results = [await walk(child) for child in children]
    if current_step().attempt <= failures:
        raise OSError("again")
    return results


@make_durable
async def program(trees):
    results = []
    for node in trees:
        results.append(await step(walk)(node))
        results.append(await nested([node]))
    return results


def units(node):
    """How often each unit has to run, however often it is tried."""
    kind, about, _ = node
    return collections.Counter([about]) if kind == "unit" else sum(map(units, about), collections.Counter())


@pytest.mark.parametrize("seed", range(8))
async def test_resumed_from_every_write(seed):
    chance = random.Random(seed)
    names = iter(range(10_000))
    trees = [tree(chance, 3, names) for _ in range(2)]
    wanted = sum((units(node) for node in trees for _ in range(2)), collections.Counter())
    store = RecordingStore()
    LOG.clear()
    expected = await run(program, trees, store=store)
    assert collections.Counter(LOG) == wanted, "a unit ran again, or was mistaken for another"
    log = list(LOG)
    for executed, state in store.states:
        LOG.clear()
        assert await run(program, trees, store=RecordingStore(state)) == expected
        ran = collections.Counter(log[:executed] + LOG)
        assert ran >= wanted
        assert all(ran[name] <= wanted[name] + 4 for name in wanted)

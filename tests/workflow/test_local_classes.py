"""Classes that are defined inside a function: who asks for a run gets his own, not likenesses of them."""

import asyncio
import collections
import dataclasses
import enum

import pydantic
import pytest

from durable_ast import InMemoryStore, SQLiteStore, Status, Workflow


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    return InMemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "s.db")


class Shop:
    """A process with classes of its own."""

    def __init__(self, store):
        class Item:
            size = 1

        @dataclasses.dataclass
        class Price:
            cents: int

        class Colour(enum.Enum):
            RED = 1

        class Model(pydantic.BaseModel):
            name: str

        class Refused(Exception):
            pass

        self.wf = Workflow("shop", db=store, default_retries=0)
        wf, named = self.wf, collections.namedtuple("named", "x")
        self.types = (Item, Price, Colour, Model, named)

        @wf.task
        async def make():
            return Item(), Price(1), Colour.RED, Model(name="a"), named(2)

        @wf.workflow(id="order")
        async def order():
            made = await make()
            given = await wf.signal("go")
            assert isinstance(made[0], Item) and isinstance(made[1], Price) and made[2] is Colour.RED
            assert isinstance(made[3], Model) and isinstance(made[4], named)
            return (*made, given)

        @wf.workflow(id="refusal")
        async def refusal():
            raise Refused("no")

        self.order, self.refusal, self.refused = order, refusal, Refused

    def has(self, values):
        return [isinstance(value, kind) for value, kind in zip(values, self.types, strict=True)] == [True] * 5


async def test_results_are_of_the_classes_that_are_there(store):
    shop = Shop(store)
    handle = await shop.wf.start(shop.order)
    await handle.signal("go", shop.types[1](7))
    found = [await handle.result(timeout=30), await shop.order(), await shop.wf.handle("order").result()]
    assert all(shop.has(each[:5]) for each in found)
    assert {each[1] == shop.types[1](1) and each[5] == shop.types[1](7) for each in found} == {True}
    await shop.wf.close()


async def test_a_run_that_leaves_memory_finds_the_classes_around_it(store):
    shop = Shop(store)
    await shop.wf.recover()
    handle = await shop.wf.start(shop.order)
    async with asyncio.timeout(30):
        while await handle.status() is not Status.WAITING:
            await asyncio.sleep(0.01)
    assert shop.has((await handle.locals())["made"])
    await shop.wf.close()
    if isinstance(store, SQLiteStore):
        store = SQLiteStore(store.path)
    other = Shop(store)  # another process has classes of its own
    await other.wf.recover()
    await other.wf.send("order", "go")
    assert other.has((await other.wf.handle("order").result(timeout=30))[:5])
    await other.wf.close()


async def test_errors_and_published_values_are_of_them_too(store):
    shop = Shop(store)
    for ask in ((await shop.wf.start(shop.refusal)).result, shop.refusal):
        with pytest.raises(shop.refused):
            await ask()

    @shop.wf.workflow(id="publishes")
    async def publishes():
        await shop.wf.set_event("price", shop.types[1](3))

    await publishes()
    assert await shop.wf.get_event("publishes", "price") == shop.types[1](3)
    await shop.wf.close()


async def test_a_class_of_the_run_itself_is_one_class_to_whoever_asks(store):
    wf = Workflow("shop", db=store)

    def sized(number):
        @dataclasses.dataclass
        class Box:
            size: int = number

        return Box

    @wf.workflow(id="boxes")
    async def boxes():
        return sized(1)(), sized(2)()

    small, large = await boxes()
    again = await boxes()
    assert again == (small, large) and again == await wf.handle("boxes").result()
    assert (type(again[0]).size, type(again[1]).size, type(again[0]) is type(again[1])) == (1, 2, False)
    await wf.close()


async def test_what_a_run_is_given_is_of_the_classes_of_the_giver(store):
    wf = Workflow("shop", db=store)

    @dataclasses.dataclass
    class Price:
        cents: int

    @wf.workflow(id="given-{kind.__name__}")
    async def given(kind, price):
        answer = await wf.signal("go", type=kind)
        await wf.signal("end")
        return price, answer

    await wf.recover()  # it leaves memory, and is restored
    handle = await wf.start(given, Price, Price(1))
    await handle.signal("go", {"cents": 2})
    async with asyncio.timeout(30):
        while (await handle.info()).awaited != ("end",):
            await asyncio.sleep(0.01)
    await handle.signal("end")
    assert await handle.result(timeout=30) == (Price(1), Price(2))
    await wf.close()

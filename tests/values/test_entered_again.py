"""What a manager that is entered again has given is the new thing, wherever the old one was kept."""

import contextlib

from ..concurrency.anywhere import anywhere, work
from ..effects import note, step
from ..everywhere import everywhere


class Connection:
    """Bound to its process."""

    def __init__(self, name):
        self.name = name

    def __reduce__(self):
        raise TypeError("a connection cannot be pickled")

    async def ask(self, question):
        return self.name, await step(question)


class Client(Connection):
    """A manager that gives itself."""

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        note(("closed", self.name))


class Pool(Client):
    """One that gives something else."""

    async def __aenter__(self):
        return Connection(f"of {self.name}")


class Pipes(Client):
    """One that gives several things, to be unpacked."""

    async def __aenter__(self):
        return Connection("in"), (Connection("out"), "word", 7), len


class Lent:
    """One that gives what is like anything else."""

    lent = 0

    def __reduce__(self):
        raise TypeError("it counts in its process")

    def __enter__(self):
        Lent.lent += 1
        return Lent.lent

    def __exit__(self, *error):
        Lent.lent -= 1


class Service:
    def __init__(self):
        self.client, self.name = None, "c"
        self.answers = []

    def __eq__(self, other):
        return vars(self) == vars(other)

    __hash__ = None

    async def run(self, kind):
        async with kind(self.name) as self.client:
            self.answers.append(await self.client.ask(1))
            await self.asks(2)
        self.client = None

    async def asks(self, question):
        self.answers.append(await self.client.ask(question))


@everywhere()
async def test_an_attribute_holds_it():
    service = Service()
    await service.run(Client)
    await service.run(Pool)
    return service


class Slotted:
    __slots__ = ("client", "name")

    def __init__(self, name):
        self.name = name


@everywhere()
async def test_a_slot_holds_it():
    slotted = Slotted("s")
    async with Pool(slotted.name) as slotted.client:
        answers = await slotted.client.ask(1), await slotted.client.ask(2)
        del slotted.client
    return answers, slotted.name


@everywhere()
async def test_objects_that_know_each_other_hold_it():
    service, other = Service(), Service()
    service.friend, other.friend = other, service
    async with Client("a") as service.client, Pool("b") as other.client:
        other.friend.answers.append(await other.client.ask(1))
        del other
        await service.asks(2)
        await service.friend.asks(3)
        answers = service.answers, service.friend.answers
        del service
    return answers


@everywhere()
async def test_an_item_holds_it():
    clients = {}
    async with Pool("a") as clients["a"], Client("b") as clients["b"]:
        answers = [await clients[name].ask(name) for name in "ab"]
        clients = len(clients)
    return answers, clients


@everywhere()
async def test_what_holds_it_is_not_needed_any_more():
    service = Service()
    async with Client("c") as service.client:
        del service
        await step(1)
        return await step(2)


@everywhere()
async def test_what_it_gave_is_another_object():
    @contextlib.asynccontextmanager
    async def opened():
        async with Client("inner") as client:
            yield client

    async with Pool("a") as connection, opened() as client:
        kept = [connection, client.ask]
        answers = await connection.ask(1), await client.ask(2)
        return *answers, await kept[0].ask(3), await kept[1](4), kept[0] is connection


@everywhere()
async def test_it_is_unpacked():
    async with Pipes("p") as (inlet, (outlet, word, number), length):
        number += 1
        parts = [await inlet.ask(1), await outlet.ask(2)]
        same = "word"
        parts.append(await inlet.ask(3))
        return parts, word, number, same, length("abc"), length is len


@everywhere()
async def test_its_name_is_used_for_something_else():
    async with Client("a") as answer:
        answer = await answer.ask(1)
        await step(2)
        with Lent() as count:
            count += 10
            await step(3)
        return answer, count


@everywhere()
async def test_what_is_like_anything_else():
    with Lent() as count:
        one = 1
        await step(1)
        return count, await step(2), one


@everywhere()
async def test_its_name_is_gone():
    async with Client("a") as client:
        await client.ask(1)
        del client
        await step(2)
        try:
            return client  # noqa: F821
        except UnboundLocalError:
            return "gone"


@anywhere(at_least=4)
async def test_branches_share_what_holds_it():
    import asyncio

    service, found = Service(), {}

    async def one(name):
        await work(name)
        await service.asks(name)
        return await found["pool"].ask(name)

    async with Pool(service.name) as service.client, Pipes("p") as (found["pool"], _, _):
        answers = await asyncio.gather(one("a"), one("b"))
    return answers, sorted(service.answers)

"""Values that are made again, and managers that are told what to be."""

import contextlib
import re

import pytest

from durable_ast import (
    CheckpointException,
    DurableBackend,
    InMemoryStateStore,
    NotPersistableError,
    NotPersistableWarning,
    PauseForEventException,
    make_durable,
    persist,
    reenter,
    resource,
)

from ..effects import LOG, Manager, note, step
from ..everywhere import everywhere


class Client:
    def __init__(self, url):
        self.url = note(("connected", url))[1]

    def __reduce__(self):
        raise TypeError("a connection cannot be pickled")


class Special(Client):
    """Made again as what it is."""


class Odd(Special):
    """Has a way of its own."""


class Never(Client):
    """Cannot be saved, whatever is said of its base."""


@resource(
    Client, save=lambda client: NotImplemented if type(client) is Never else (type(client), client.url), subclasses=True
)
def connect(facts):
    kind, url = facts
    return kind(url)


resource(Odd, save=lambda client: client.url, restore=lambda url: Odd(f"{url}!"))


@make_durable
async def uses(kind, url):
    client = kind(url)
    clients = [client]
    raise PauseForEventException("go")
    return type(client), client.url, clients[0] is client


async def paused(program, *args, store=None):
    backend = DurableBackend(store or InMemoryStateStore())
    with pytest.raises(PauseForEventException):
        await program(*args, orchestration_backend=backend, instance_id="it")
    backend.publish_event("it", "go")
    return await program(*args, orchestration_backend=backend, instance_id="it")


@pytest.mark.parametrize(("kind", "url"), [(Client, "a"), (Special, "a"), (Odd, "a!")])
async def test_a_resource_is_made_again(kind, url):
    LOG.clear()
    assert await paused(uses, kind, "a") == (kind, url, True)
    assert [made for _, made in LOG] == ["a", url]


async def test_save_may_refuse():
    with pytest.raises(NotPersistableError, match=r"'client' \(.*Never\) of uses\(\) cannot be saved .*resource\(\)"):
        await paused(uses, Never, "a")


async def test_what_restoring_raises_is_told_and_the_instance_kept():
    down = []

    class Server(Client):
        pass

    def restore(url):
        if not down:
            down.append(1)
            raise ConnectionError("no route")
        return Server(url)

    resource(Server, save=lambda server: server.url, restore=restore)

    @make_durable
    async def program():
        server = Server("s")
        raise PauseForEventException("go")
        return server.url

    store = InMemoryStateStore()
    with pytest.raises(CheckpointException, match=r"Server cannot be made again from 's': ConnectionError: no route"):
        await paused(program, store=store)
    assert await program(orchestration_backend=DurableBackend(store), instance_id="it") == "s"


async def restores_async(url): ...


@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        (("no type",), {"save": str, "restore": str}, "needs a type"),
        ((Client,), {"save": "x", "restore": str}, "save must be a function"),
        ((Client,), {"save": str, "restore": "x"}, "restore must be a function"),
        ((Client,), {"save": str, "restore": restores_async}, "restore must not be async"),
        ((Client,), {"save": restores_async, "restore": str}, "save must not be async"),
    ],
)
def test_nonsense_is_refused(args, options, message):
    with pytest.raises(TypeError, match=message):
        resource(*args, **options)


@everywhere(plain=False)
async def test_a_manager_that_is_persisted_is_not_entered_again():
    with persist(Manager("m")) as name:
        await step(name)
        await step(name)
    return name


async def test_a_manager_that_is_to_be_entered_again_is():
    @make_durable
    async def program():
        with reenter(Manager("m")) as name:
            await step(1)
            raise PauseForEventException("go")
            await step(name)

    LOG.clear()
    await paused(program)
    assert LOG == [("enter", "m"), ("step", 1), ("enter", "m"), ("step", "m"), ("exit", "m", None)]


class Session(Client):
    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        note("closed")


async def test_a_manager_that_is_to_be_persisted_and_cannot_be_is_named():
    @make_durable
    async def program():
        async with persist(Hopeless()):
            await step(1)
            raise PauseForEventException("go")

    with pytest.warns(NotPersistableWarning, match="the context manager"), pytest.raises(NotPersistableError):
        await paused(program)


class Hopeless:
    def __reduce__(self):
        raise TypeError("hopeless")

    async def __aenter__(self):
        return 1

    async def __aexit__(self, *error):
        pass


def test_what_is_no_manager_says_so():
    with pytest.raises(TypeError, match=r"'int' object does not support the context manager protocol"), reenter(3):
        pass


async def test_strict_refuses_at_once():
    @make_durable(strict=True)
    async def program():
        client = Never("x")
        await step(1)
        return client.url

    with pytest.raises(NotPersistableError, match=r"test_resources.py:\d+: local variable 'client'"):
        await program(orchestration_backend=DurableBackend(), instance_id="it")


async def test_looking_at_an_instance_makes_nothing():
    store = InMemoryStateStore()
    backend = DurableBackend(store)
    with pytest.raises(PauseForEventException):
        await uses(Client, "a", orchestration_backend=backend, instance_id="it")
    LOG.clear()
    from durable_ast.runtime.instance import stack_of

    (call,) = stack_of(await store.read("it"))
    assert call.locals["client"].saved == (Client, "a")
    assert LOG == []


async def warned(function, *args):
    """What is said of the values of a function."""
    backend = DurableBackend()
    with pytest.warns(NotPersistableWarning) as said:
        await make_durable(function)(*args, orchestration_backend=backend, instance_id="it")
    return [f"{warning.filename.rpartition('/')[2]}:{warning.lineno} {warning.message}" for warning in said]


class Bound:
    """A client that nobody knows how to make again."""

    def __init__(self, url):
        self.url = url

    __reduce__ = Client.__reduce__

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error): ...


async def test_an_exit_stack_says_how_it_could_be_done():
    async def opens():
        async with contextlib.AsyncExitStack() as stack:
            session = await stack.enter_async_context(Bound("s"))
            await step(session.url)

    for said in await warned(opens):
        assert re.search(
            r"(Bound|AsyncExitStack)\) of .*opens\(\) cannot be saved .* An exit stack cannot enter again", said
        )
        assert "asynccontextmanager" in said


@contextlib.asynccontextmanager
async def sessions(names):
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Bound(name)) for name in names]


@everywhere()
async def test_an_exit_stack_in_a_manager_of_its_own_is_opened_again():
    async with sessions("ab") as opened:
        first = await step(opened[0].url)
        second = await step(opened[1].url)
    return first, second


async def test_a_manager_that_was_made_before_says_how_it_could_be_done():
    async def opens():
        session = Bound("s")
        async with session:
            await step(1)

    (said,) = await warned(opens)
    line = opens.__code__.co_firstlineno + 2
    assert said.startswith(f"test_resources.py:{line} local variable 'session' ({__name__}.Bound) of ")
    assert "Make it in the `with` statement itself" in said


class Deps:
    def __init__(self, **parts):
        vars(self).update(parts)


async def test_what_is_to_blame_deep_inside_is_named():
    async def holds():
        deps = Deps(name="d", clients={"a": [1, Never("x")]})
        await step(1)
        return deps.name

    (said,) = await warned(holds)
    assert f"local variable 'deps' ({__name__}.Deps), because of deps.clients['a'][1] ({__name__}.Never), of" in said


async def test_it_is_told_once_for_each_value():
    async def holds():
        first = Bound("a")
        for number in range(3):
            await step(number)
            await step(first.url)
        second = Bound("b")
        await step(second.url)
        return first.url

    said = await warned(holds)
    assert [text.partition(" cannot")[0].split()[3] for text in said] == ["'first'"]

    async def one_after_the_other():
        first = Bound("a")
        await step(first.url)
        del first
        second = Bound("b")
        await step(second.url)
        del second
        await step(3)

    said = await warned(one_after_the_other)
    assert [text.partition(" cannot")[0].split()[3] for text in said] == ["'first'", "'second'"]

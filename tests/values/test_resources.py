"""Values that are made again, and managers that are told what to be."""

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

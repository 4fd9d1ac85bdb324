"""Values that cannot be pickled, in every place where something is saved."""

import asyncio
import re
import threading
import warnings

import pytest

from durable_ast import (
    DurableBackend,
    InMemoryStateStore,
    NotPersistableError,
    NotPersistableWarning,
    PauseForEventException,
    SQLiteStore,
    Status,
    make_durable,
    wait_for_event,
)


class Connection:
    """Belongs to this process."""

    def __reduce__(self):
        raise TypeError("a connection cannot be pickled")


@pytest.fixture(params=["memory", "sqlite"])
def backend(request, tmp_path):
    return DurableBackend(InMemoryStateStore() if request.param == "memory" else SQLiteStore(tmp_path / "x.db"))


async def step(value=None):
    return value


async def connect():
    return Connection()


async def test_arguments(backend):
    @make_durable
    async def use(connection):
        await step()
        return type(connection).__name__

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotPersistableWarning)
        assert await use(Connection(), orchestration_backend=backend, instance_id="it") == "Connection"
        assert await use(orchestration_backend=backend, instance_id="it") == "Connection"


class Endless(list):
    def __iter__(self):
        while True:
            yield self

    def __reduce__(self):
        raise TypeError("it cannot be pickled")


class Nameless:
    def __repr__(self):
        raise ValueError("it has no name")


class OddItems(dict):
    def items(self):
        return "none"


@pytest.mark.parametrize(
    "make", [lambda: OddItems(a=1), lambda: {Nameless(): Connection()}, lambda: Endless([Connection()])]
)
async def test_classes_that_answer_nonsense_are_not_asked_what_they_hold(make):
    @make_durable
    async def keep():
        kept = make()
        await step()
        return len(kept)

    with pytest.warns(NotPersistableWarning, match=r"local variable 'kept'"):
        assert await keep(orchestration_backend=DurableBackend(), instance_id="it") == 1


async def test_the_result(backend):
    @make_durable
    async def give():
        await step()
        return Connection()

    with pytest.raises(
        NotPersistableError, match=r"give has ended, and its result \(.*Connection\).*cannot be pickled"
    ):
        await give(orchestration_backend=backend, instance_id="it")
    assert (await backend.store.read("it")).status is Status.ERROR


async def test_a_local_stops_checkpoints_and_a_warning_says_so():
    @make_durable
    async def keep():
        connection = await connect()
        await step()
        return type(connection).__name__

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert await keep(orchestration_backend=DurableBackend(), instance_id="it") == "Connection"
    first, second = (str(warning.message) for warning in caught)
    assert "the value just awaited (Connection) of " in first
    assert "local variable 'connection' (tests.bad_input.test_values.Connection) of " in second
    assert all(warning.category is NotPersistableWarning and warning.filename == __file__ for warning in caught)


async def test_a_local_in_strict_mode(backend):
    ran = []

    @make_durable(strict=True)
    async def keep():
        connection = await connect()
        ran.append("on")
        await step()
        return connection

    with pytest.raises(NotPersistableError, match=r"test_values.py:\d+: .*Connection"):
        await keep(orchestration_backend=backend, instance_id="it")
    assert ran == []


async def test_a_local_across_a_pause(backend):
    attempts = []

    @make_durable
    async def keep():
        attempts.append("run")
        connection = Connection()
        await wait_for_event("allow")
        return type(connection).__name__

    with pytest.raises(NotPersistableError, match=r"test_values.py:\d+: local variable 'connection'"):
        await keep(orchestration_backend=backend, instance_id="it")
    backend.publish_event("it", "allow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotPersistableWarning)
        assert await keep(orchestration_backend=backend, instance_id="it") == "Connection"
    assert attempts == ["run", "run"]


async def test_an_exception(backend):
    class Odd(Exception):
        def __init__(self, lock):
            super().__init__("odd", lock)

    @make_durable
    async def fail():
        raise Odd(threading.Lock())

    with pytest.raises(Odd) as first:
        await fail(orchestration_backend=backend, instance_id="it")
    assert "odd" in str(first.value)


async def test_a_coroutine_that_is_driven_by_hand():
    """Where it stands cannot be saved, so what it does is part of the block around it."""

    @make_durable
    async def inner():
        return await step("by hand")

    @make_durable
    async def outer():
        coroutine = inner()
        try:
            coroutine.send(None)
        except StopIteration as stop:
            result = stop.value
        await wait_for_event("allow")
        return result

    backend = DurableBackend()
    with pytest.warns(NotPersistableWarning, match="driven by"), pytest.raises(PauseForEventException):
        await outer(orchestration_backend=backend, instance_id="it")
    backend.publish_event("it", "allow")
    assert await outer(orchestration_backend=backend, instance_id="it") == "by hand"


async def test_a_pause_in_a_coroutine_that_is_driven_by_hand():
    @make_durable
    async def inner():
        return await wait_for_event("allow")

    @make_durable
    async def outer():
        try:
            inner().send(None)
        except NotPersistableError as error:
            return str(error)

    explanation = await outer(orchestration_backend=DurableBackend(), instance_id="it")
    assert __file__ in explanation
    assert "await it instead" in explanation


async def test_the_result_of_a_task(backend):
    async def make():
        await step()
        return Connection()

    @make_durable
    async def use():
        async with asyncio.TaskGroup() as group:
            task = group.create_task(make())
        await step()
        return type(task.result()).__name__

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NotPersistableWarning)
        assert await use(orchestration_backend=backend, instance_id="it") == "Connection"
    if caught:  # it is said once in a process
        assert "the result of a task" in str(caught[0].message) and "Connection" in str(caught[0].message)


async def test_a_pattern_without_a_text(backend):
    @make_durable
    async def scans(text):
        scanner = re.Scanner([(r"\w+", lambda scanner, found: found), (r"\s+", None)])
        await step()
        return scanner.scan(text)[0]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotPersistableWarning)
        assert await scans("a b", orchestration_backend=backend, instance_id="it") == ["a", "b"]
        assert await scans("a b", orchestration_backend=backend, instance_id="it") == ["a", "b"]

"""What stands around a durable function (the variables of the functions that enclose it) is no part
of an instance: whoever goes on uses its own.  PYTEST_DONT_REWRITE"""

import contextlib
import importlib.util

import pytest

from durable_ast import DurableBackend, PauseForEventException, make_durable

from ..effects import LOG, step
from ..everywhere import everywhere
from . import twice


@pytest.fixture(autouse=True)
def _no_effects():
    LOG.clear()


async def test_a_failed_instance_sees_what_has_changed_around_it():
    fixed = False

    @make_durable
    async def f():
        value = await step(1)
        if not fixed:
            raise ValueError("not yet")
        return value

    backend = DurableBackend()
    with pytest.raises(ValueError, match="not yet"):
        await f(orchestration_backend=backend, instance_id="it")
    fixed = True
    assert await f(orchestration_backend=backend, instance_id="it") == 1
    assert LOG == [("step", 1)]


async def test_what_it_writes_around_it_is_seen_there():
    seen = []
    stage = "new"

    @make_durable
    async def f():
        nonlocal stage
        seen.append("a")
        await step()
        with contextlib.suppress(KeyError):
            seen.append("b")
            raise PauseForEventException("go")
        stage = "gone on"
        seen.append("c")

    backend = DurableBackend()
    with pytest.raises(PauseForEventException):
        await f(orchestration_backend=backend, instance_id="it")
    backend.publish_event("it", "go")
    await f(orchestration_backend=backend, instance_id="it")
    assert (seen, stage) == (["a", "b", "c"], "gone on")


class Lock(contextlib.nullcontext):
    """Is bound to its process."""

    def __reduce__(self):
        raise TypeError("a lock of a process")


def program_with(lock, words):
    async def say(word):
        with lock:
            words.append(word)
        return await step(word)

    async def twice(word):
        return [await say(word), await say(word)]

    @make_durable
    async def f():
        first = await twice("a")
        say_later = say
        raise PauseForEventException("go")
        return first, await say_later("b")

    return f


async def test_another_process_brings_its_own():
    """The lock could not be saved; each process has one."""
    backend = DurableBackend()
    here, there = [], []
    with pytest.raises(PauseForEventException):
        await program_with(Lock(), here)(orchestration_backend=backend, instance_id="it")
    backend.publish_event("it", "go")
    result = await program_with(Lock(), there)(orchestration_backend=backend, instance_id="it")
    assert result == (["a", "a"], "b")
    assert (here, there) == (["a", "a"], ["b"])


class Session:
    """A context manager that cannot be saved, so it is entered again."""

    def __init__(self, lock):
        self.lock = lock

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        pass


async def test_inside_of_a_manager_that_is_entered_again():
    lock = Lock()
    words = []

    @make_durable
    async def f():
        async with Session(lock) as session:
            words.append(await step("a"))
            raise PauseForEventException("go")
            words.append(session.lock is lock)

    backend = DurableBackend()
    with pytest.raises(PauseForEventException):
        await f(orchestration_backend=backend, instance_id="it")
    backend.publish_event("it", "go")
    await f(orchestration_backend=backend, instance_id="it")
    assert words == ["a", True]


def loaded_again(module):
    """Another module made from the same file, with the same name."""
    spec = importlib.util.spec_from_file_location(module.__name__, module.__file__)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


other = loaded_again(twice)


@everywhere()
async def test_a_module_that_is_there_twice():
    module, cls, function, thing = other, other.Thing, other.make, other.make()
    await step(1)
    same = [module is other, cls is other.Thing, function is other.make, type(thing) is other.Thing]
    await step(2)
    return same, cls is twice.Thing, type(function()) is cls, thing.__class__ is cls

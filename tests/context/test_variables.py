"""Context variables have the values after a resume that they had before."""

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from durable_ast import DurableBackend, InMemoryStateStore, NotPersistableWarning, PauseForEventException, make_durable

from ..effects import note, step, turn
from ..everywhere import everywhere

REQUEST: contextvars.ContextVar[str] = contextvars.ContextVar("request")
TENANT: contextvars.ContextVar[Any] = contextvars.ContextVar("tenant", default=("nobody",))
LOCK: contextvars.ContextVar[object] = contextvars.ContextVar("lock", default=None)


@everywhere()
async def test_what_was_set_stays_set():
    REQUEST.set("r-1")
    await step(1)
    first = REQUEST.get()
    REQUEST.set("r-2")
    TENANT.set(tenant := ["a"])
    await step(2)
    tenant.append("b")
    await step(3)
    return first, REQUEST.get(), TENANT.get(), TENANT.get() is tenant


@everywhere()
async def test_a_token_sets_back():
    outer = REQUEST.set("outer")
    token = TENANT.set(["inner"])
    try:
        inner = REQUEST.set("inner")
        await step(1)
        seen = [REQUEST.get()]
        REQUEST.reset(inner)
        await step(2)
        seen.append(REQUEST.get())
    finally:
        TENANT.reset(token)
        await step(3)
    seen.append(TENANT.get())
    REQUEST.reset(outer)
    return seen, REQUEST.get("unset")


async def sees(name):
    seen = [REQUEST.get()]
    REQUEST.set(name)
    await turn(name)
    seen.append(REQUEST.get())
    await turn(name)
    return [*seen, REQUEST.get()]


@everywhere(plain=False)
async def test_each_branch_has_its_own():
    REQUEST.set("parent")
    results = await asyncio.gather(sees("a"), sees("b"))
    return results, note(REQUEST.get())


async def sets_back(name):
    token = REQUEST.set(name)
    await turn((name, 1))
    inner = REQUEST.set(f"{name}, inner")
    await turn((name, 2))
    REQUEST.reset(inner)
    seen = [REQUEST.get()]
    await turn((name, 3))
    REQUEST.reset(token)
    return [*seen, REQUEST.get()]


@everywhere(plain=False)
async def test_each_branch_sets_back_its_own():
    outer = REQUEST.set("parent")
    results = await asyncio.gather(sets_back("a"), sets_back("b"))
    await step("after")
    seen = REQUEST.get()
    REQUEST.reset(outer)
    return results, seen, REQUEST.get("unset")


@make_durable
async def asks():
    raise PauseForEventException("go")
    return REQUEST.get("unset"), TENANT.get()


async def test_what_the_caller_had_set_is_there_in_another_process():
    store = InMemoryStateStore()

    async def called():
        REQUEST.set("of the caller")
        with pytest.raises(PauseForEventException):
            await asks(orchestration_backend=DurableBackend(store), instance_id="it")

    await asyncio.create_task(called())
    assert REQUEST.get("unset") == "unset"
    DurableBackend(store).publish_event("it", "go")
    found = await asks(orchestration_backend=DurableBackend(store), instance_id="it")
    assert found == ("of the caller", ("nobody",))


class Unsavable:
    def __init__(self):
        self.lock = threading.local()


@everywhere()
async def test_what_cannot_be_saved_is_left_to_the_process():
    contextvars.ContextVar("local").set(1)
    LOCK.set(Unsavable())
    REQUEST.set("saved")
    await step(1)
    return REQUEST.get()


class Locked:
    """Sets a variable to something that is bound to its process."""

    def __enter__(self):
        self.token = LOCK.set(Unsavable())

    def __exit__(self, *error):
        LOCK.reset(self.token)


@everywhere()
async def test_a_manager_that_sets_what_cannot_be_saved_sets_it_again():
    with Locked():
        await step(1)
        seen = type(LOCK.get())
        await step(2)
        seen = seen, type(LOCK.get())
    await step(3)
    return seen, LOCK.get()


async def test_there_is_no_checkpoint_between_setting_it_and_setting_it_back():
    async def sets():
        token = LOCK.set(Unsavable())
        await step(1)
        seen = type(LOCK.get())
        LOCK.reset(token)
        return seen

    with pytest.warns(NotPersistableWarning, match=r"'token' .* cannot save the token .* 'lock': what that was set to"):
        assert await make_durable(sets)(orchestration_backend=DurableBackend(), instance_id="it") is Unsavable

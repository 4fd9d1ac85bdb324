"""Context managers around awaits.  PYTEST_DONT_REWRITE"""

import contextlib
import io
import os
import sys
import warnings

import pytest

from durable_ast import DurableBackend, NotPersistableWarning, make_durable
from tests.effects import LOG, AsyncManager, Manager, fail, note, step, turn
from tests.everywhere import RecordingStore, check, everywhere


@everywhere()
async def test_with():
    with Manager("a") as a, Manager(await step("b")) as b:
        await step((a, b))
        await turn(1)
    return a, b


@everywhere()
async def test_async_with():
    async with AsyncManager("a") as a, AsyncManager("b"):
        await step(a)
        async with AsyncManager("c"):
            await turn(a)
    return a


@everywhere()
async def test_leaving_managers_in_every_way():
    out = []

    async def leave(how):
        for _ in range(2):
            with Manager("sync", KeyError):
                async with AsyncManager("async", ValueError) as name:
                    await step(how)
                    if how == "return":
                        return name
                    if how == "break":
                        break
                    if how == "continue":
                        continue
                    if how == "key":
                        raise KeyError
                    if how == "value":
                        await fail(ValueError("v"))
                    if how == "type":
                        raise TypeError("t")
                await step("between")
            await step("after")
        return "end"

    for how in ("end", "return", "break", "continue", "key", "value", "type"):
        try:
            out.append(await leave(how))
        except TypeError as error:
            out.append(repr(error))
    return out


@everywhere()
async def test_an_exception_in_exit():
    class Failing(AsyncManager):
        async def __aexit__(self, *error):
            await step("leaving")
            raise OSError("in exit")

    try:
        async with Failing("x"):
            await fail(KeyError("body"))
    except OSError as error:
        await step("outside")
        return repr(error), repr(error.__context__)


@everywhere()
async def test_targets_of_with():
    box = {}
    with Manager("a") as box["k"]:
        await step(box["k"])
    with Manager("b") as box[await step("awaited")]:
        note(box["awaited"])
    async with AsyncManager(("x", "y")) as (first, second):
        await step((first, second))
    return box, first, second


async def test_output_that_goes_elsewhere(monkeypatch):
    async def collect():
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            await step()
            print("a")
            print("b", file=sys.stderr)
            await step()
            print("c")
        return out.getvalue(), errors.getvalue()

    monkeypatch.setattr(sys, "stdout", sys.__stdout__)
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    await check(collect, (), plain=True, events={}, options={})
    assert (sys.stdout, sys.stderr) == (sys.__stdout__, sys.__stderr__)


@everywhere()
async def test_another_folder():
    before = os.getcwd()
    with contextlib.chdir("/"):
        await step()
        inside = os.getcwd()
        await step()
    return inside, os.getcwd() == before


class Guard:
    """Does not want to be asked for anything."""

    def __getattr__(self, name):
        raise RuntimeError(name)


@everywhere()
async def test_output_to_what_must_not_be_asked():
    with contextlib.redirect_stdout(Guard()):
        await step()
        try:
            print("a")
        except RuntimeError as error:
            return str(error)


class Unsaved(Manager):
    """A manager that cannot be saved."""

    def __reduce__(self):
        raise TypeError("not this one")


async def test_an_exit_stack_that_cannot_be_saved_is_not_emptied():
    async def program():
        with contextlib.ExitStack() as stack:
            stack.callback(note, "callback")
            stack.enter_context(Unsaved("unsaved"))
            await step(1)
            await step(2)
        return await step(3)

    store = RecordingStore()
    with pytest.warns(NotPersistableWarning, match="An exit stack cannot enter again what it has entered"):
        expected = await make_durable(program)(orchestration_backend=DurableBackend(store), instance_id="it")
    log = list(LOG)
    for executed, state in store.states:
        LOG.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotPersistableWarning)
            backend = DurableBackend(RecordingStore(state))
            assert await make_durable(program)(orchestration_backend=backend, instance_id="it") == expected
        assert log[executed:] == LOG


@everywhere()
async def test_exit_stacks():
    with contextlib.ExitStack() as stack:
        stack.enter_context(Manager("one"))
        await step(1)
        stack.callback(note, "callback")
        await step(2)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(AsyncManager("two"))
        await step(3)
    with contextlib.suppress(ZeroDivisionError):
        await step(4)
        1 / 0
    return "end"


@everywhere()
async def test_objects_that_are_no_managers():
    out = []

    class NoExit:
        async def __aenter__(self): ...

    class EntersNothing(NoExit):
        def __aenter__(self):
            return 5

        async def __aexit__(self, *error): ...

    class LeavesNothing(AsyncManager):
        def __aexit__(self, *error):
            return 5

    for thing in (1, Manager("sync only"), NoExit(), EntersNothing(), LeavesNothing("x")):
        try:
            async with thing:
                await step("never")
        except (TypeError, AttributeError) as error:
            out.append((type(error), str(error)))

    class NoNext:
        def __aiter__(self):
            return 5

    class NextNothing:
        def __aiter__(self):
            return self

        def __anext__(self):
            return 5

    for thing in ([1], NoNext(), NextNothing()):
        try:
            async for _ in thing:
                await step("never")
        except TypeError as error:
            out.append((str(error), repr(error.__cause__)))
    return out

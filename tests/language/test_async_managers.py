"""`contextlib.asynccontextmanager`: what its generator awaits has checkpoints.  PYTEST_DONT_REWRITE"""

import contextlib

import pytest

from tests.effects import LOG, AsyncManager, Manager, fail, note, step, turn
from tests.everywhere import RecordingStore, everywhere, outcome, run


@contextlib.asynccontextmanager
async def opened(name, swallow=()):
    """Steps before and after."""
    await step(("first", name))
    handle = await turn(("second", name))
    try:
        yield handle
    except swallow as error:
        await step(("swallowing", name))
        note(repr(error))
    finally:
        await step(("closing", name))
        await turn(("closed", name))


@everywhere()
async def test_entered_and_left():
    async with opened("a") as a, opened("b") as (_, b):
        await step((a, b))
        async with opened(await step("c")) as c:
            await turn(c)
    return a, b, await step("end")


@everywhere()
async def test_left_in_every_way():
    out = []

    async def leave(how):
        for _ in range(2):
            async with opened("outer", KeyError):
                async with opened("inner", (ValueError, StopAsyncIteration)) as name:
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
                    if how == "stop":
                        raise StopAsyncIteration
                await step("between")
            await step("after")
        return "end"

    for how in ("end", "return", "break", "continue", "key", "value", "type", "stop"):
        try:
            out.append(await leave(how))
        except TypeError as error:
            out.append(repr(error))
    return out


@everywhere()
async def test_what_is_raised_inside_passes_through():
    out = []
    for error in (
        RuntimeError("r"),
        StopIteration(1),
        StopAsyncIteration(),
        KeyboardInterrupt(),
        ExceptionGroup("g", [OSError()]),
    ):
        try:
            async with opened("a"):
                await step("inside")
                raise error
        except BaseException as raised:
            await step("caught")
            out.append((raised is error, repr(raised), repr(raised.__cause__), repr(raised.__context__)))
    return out


@contextlib.asynccontextmanager
async def replaces():
    try:
        yield
    except ValueError as error:
        await step("replacing")
        raise KeyError("instead") from error


@everywhere()
async def test_another_error_instead():
    try:
        async with replaces():
            await fail(ValueError("first"))
    except KeyError as error:
        await step("caught")
        return repr(error), repr(error.__cause__), error.__suppress_context__
    finally:
        await step("finally")


@contextlib.asynccontextmanager
async def wrong(how):
    await step("begin")
    if how == "no yield":
        return
    try:
        yield 1
    except ValueError:
        await step("handler")
    if how == "two yields":
        await step("again")
        yield 2


@everywhere()
async def test_generators_that_do_not_keep_to_it():
    out = []
    for how, error in (("no yield", None), ("two yields", None), ("two yields", ValueError("v"))):
        try:
            async with wrong(how):
                await step("inside")
                if error:
                    raise error
        except RuntimeError as raised:
            await step("caught")
            out.append(str(raised))
    return out


class Service:
    """Methods, and managers in managers."""

    def __init__(self):
        self.open = []

    @contextlib.asynccontextmanager
    async def session(self, name, *more, key=1, **rest):
        async with AsyncManager("around"), opened(name):
            with Manager("sync"):
                self.open.append(await step(name))
                try:
                    yield self, name, more, key, rest
                finally:
                    self.open.remove(await step(name))


@everywhere()
async def test_methods():
    return await methods()


async def methods():
    service = Service()
    async with service.session("s", 1, 2, key=3, other=4) as (same, *facts):
        seen = list(service.open)
        await step("inside")
        is_same = same is service
    return facts, seen, service.open, is_same


@everywhere()
async def test_in_a_stack_and_by_hand():
    async with contextlib.AsyncExitStack() as stack:
        one = await stack.enter_async_context(opened("one"))
        await step("between")
        manager = opened("by hand")
        two = await manager.__aenter__()
        await step("inside")
        await manager.__aexit__(None, None, None)
    return one, two


@everywhere()
async def test_leaving_a_stack_goes_on_where_it_was():
    async def callback(name):
        await step(("callback", name))

    out = []
    for error in (None, KeyError("k"), ValueError("v")):
        try:
            async with contextlib.AsyncExitStack() as stack:
                await stack.enter_async_context(opened("outer", ValueError))
                stack.push_async_callback(callback, await step("a"))
                stack.enter_context(Manager("sync"))
                await stack.enter_async_context(AsyncManager("inner"))
                stack.callback(note, "plain")
                await step("inside")
                if error:
                    raise error
        except KeyError as raised:
            await step("caught")
            out.append((raised is error, repr(raised.__context__)))
    stack = contextlib.AsyncExitStack()
    await stack.enter_async_context(opened("closed"))
    await step("between")
    await stack.aclose()
    return out


class Unsaved:
    """Cannot be saved."""

    def __reduce__(self):
        raise TypeError("never")


@contextlib.asynccontextmanager
async def connected():
    connection = Unsaved()
    LOG.append("connect")
    yield connection
    note(type(connection).__name__)
    await step("disconnected")


async def uses_what_cannot_be_saved():
    async with connected() as connection:
        first = await step("first")
        second = await step(type(connection).__name__)
    return first, second, await step("after")


class Pool:
    """Gives what cannot be saved, and is not that itself."""

    async def __aenter__(self):
        LOG.append("connect")
        self.connection = Unsaved()
        return self.connection

    async def __aexit__(self, *error):
        await step("disconnected")


async def uses_what_a_pool_gives():
    async with Pool() as connection:
        first = await step("first")
        second = await step(type(connection).__name__)
    return first, second, await step("after")


@pytest.mark.parametrize("function", [uses_what_cannot_be_saved, uses_what_a_pool_gives])
async def test_one_that_cannot_be_saved_is_entered_again(function):
    store = RecordingStore()
    result, log = await outcome(lambda: run(function, (), store, {}, {}))
    assert result[0] == "returned"
    for executed, state in store.states:
        again, more = await outcome(lambda state=state: run(function, (), RecordingStore(state), {}, {}))
        is_inside = "connect" in log[:executed] and ("step", "after") not in log[:executed]
        assert (again, more) == (result, [*(["connect"] if is_inside else []), *log[executed:]])

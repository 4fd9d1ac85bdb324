"""Functions with several branches, to be killed."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from typing import NoReturn, Self

from durable_ast import make_durable

from .programs import log, step, threaded

WIDTH = 20
LENGTH = 20


async def lane(number: int, results: list[int]) -> int:
    """A branch of twenty steps, with a list that all branches share."""
    total = 0
    for index in range(LENGTH):
        total += await (threaded if index % 2 else step)(number * LENGTH + index)
    results.append(number)
    return total


@make_durable
async def lanes() -> tuple[list[int], list[int]]:
    """Twenty branches of twenty steps."""
    results: list[int] = []
    totals = await asyncio.gather(*(lane(number, results) for number in range(WIDTH)))
    return totals, sorted(results)


async def failing(number: int) -> None:
    """The third member of a group."""
    for index in range(5):
        await threaded(number * LENGTH + index)
    raise LookupError("the third")


async def lasting(number: int) -> None:
    """A member that is cancelled, and takes two steps in cleaning up."""
    index = 0
    try:
        while True:
            await threaded(number * LENGTH + index)
            index += 1
            await asyncio.sleep(0.002)
    finally:
        log("cleaning", number)
        await asyncio.sleep(0.01)
        log("cleaned", number)
        await step(number * LENGTH + LENGTH - 2)
        await step(number * LENGTH + LENGTH - 1)


@make_durable
async def group() -> str:
    """A task group whose third member fails."""
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(lasting(0))
            tasks.create_task(lasting(1))
            tasks.create_task(failing(2))
    except* LookupError as errors:
        text = repr(errors.exceptions)
    return text


@make_durable
async def late() -> str:
    """A timeout that is over before what it is around."""
    await step(0)
    try:
        async with asyncio.timeout(1.5):
            log("inside", time.time())
            await asyncio.gather(asyncio.sleep(1000), step(1))
    except TimeoutError:
        await step(2)
        return "timeout"
    return "no timeout"


class Line:
    """A connection: bound to its process, and to be entered in each."""

    def __init__(self) -> None:
        self.pid = 0

    def __reduce__(self) -> NoReturn:
        raise TypeError("a connection cannot be pickled")

    async def __aenter__(self) -> Self:
        await asyncio.sleep(0.001)
        self.pid = os.getpid()
        log("entered")
        return self

    async def __aexit__(self, *error: object) -> None:
        self.pid = 0

    async def get(self, number: int) -> int:
        assert self.pid == os.getpid(), "it was not entered in this process"
        return await threaded(number)


async def through(line: Line, number: int, results: list[int]) -> int:
    """A branch that uses its parent's connection, and one of its own."""
    total = 0
    async with Line() as own:
        for index in range(LENGTH):
            total += await (line if index % 2 else own).get(number * LENGTH + index)
    results.append(number)
    return total


@make_durable
async def connected() -> tuple[list[int], list[int]]:
    """Six branches of twenty steps, inside of a connection."""
    results: list[int] = []
    async with Line() as line:
        totals = await asyncio.gather(*(through(line, number, results) for number in range(6)))
    return totals, sorted(results)


@contextlib.asynccontextmanager
async def lines(*names: str) -> AsyncIterator[tuple[Line, ...]]:
    """Opens some connections."""
    async with contextlib.AsyncExitStack() as stack:
        yield tuple([await stack.enter_async_context(Line()) for _ in names])


class Exchange:
    """Holds its connections, and has to be there to open them."""

    line: Line

    def __init__(self) -> None:
        self.names = "ab"
        self.seen: list[int] = []

    async def run(self) -> list[int]:
        """Four branches of twenty steps; all use what it holds."""
        async with Line() as self.line, lines(*self.names) as (self.first, other):
            totals = await asyncio.gather(*(self.talk(number, other) for number in range(4)))
        del self.line, self.first
        return totals

    async def talk(self, number: int, other: Line) -> int:
        """A branch."""
        total = 0
        for index in range(LENGTH):
            total += await (self.line, self.first, other)[index % 3].get(number * LENGTH + index)
        self.seen.append(number)
        return total


@make_durable
async def exchanged() -> tuple[list[int], list[int]]:
    """An object whose attributes are connections."""
    exchange = Exchange()
    totals = await exchange.run()
    return totals, sorted(exchange.seen)


async def cleans(number: int) -> None:
    """Waits to be cancelled, and takes its time then."""
    try:
        await step(number * LENGTH)
        log("waiting", number)
        await asyncio.sleep(1000)
    finally:
        for index in range(1, LENGTH):
            await threaded(number * LENGTH + index)


@make_durable
async def cleaning() -> None:
    """Three branches that clean up when they are cancelled from outside.

    A gather would be over with the first of them, as asyncio has it, and the process with that."""
    async with asyncio.TaskGroup() as tasks:
        for number in range(3):
            tasks.create_task(cleans(number))

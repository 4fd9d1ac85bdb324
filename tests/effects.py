"""Things to await whose every effect is logged, in order."""

import asyncio
from collections.abc import AsyncIterator, Iterator

LOG: list[object] = []


def note(value):
    """An effect of synchronous code."""
    LOG.append(value)
    return value


async def step(value=None):
    """A step that ends at once."""
    LOG.append(("step", value))
    return value


async def turn(value=None):
    """A step that suspends on its way."""
    LOG.append(("turn", value))
    await asyncio.sleep(0)
    LOG.append(("turned", value))
    return value


async def fail(error):
    """A step that fails."""
    LOG.append(("fail", str(error)))
    raise error


async def fail_later(error):
    """A step that fails in another thread, so that the error is thrown in where it is awaited."""
    LOG.append(("fail later", str(error)))
    await asyncio.get_running_loop().run_in_executor(None, _raise, error)


def _raise(error):
    raise error


async def nested(value):
    """A function with steps of its own."""
    first = await step(("nested", value))
    return first[1], await step(value)


class Manager:
    """A context manager that can be saved."""

    def __init__(self, name: str, swallow: type[BaseException] | None = None) -> None:
        self.name, self.swallow = name, swallow

    def __enter__(self):
        LOG.append(("enter", self.name))
        return self.name

    def __exit__(self, kind, error, traceback):
        LOG.append(("exit", self.name, kind and kind.__name__))
        return self.swallow is not None and kind is not None and issubclass(kind, self.swallow)


class AsyncManager(Manager):
    """The same, with steps on entering and leaving."""

    async def __aenter__(self):
        await step(("entering", self.name))
        return self.__enter__()

    async def __aexit__(self, *error):
        await step(("leaving", self.name))
        return self.__exit__(*error)


class Steps:
    """An async iterator that can be saved."""

    def __init__(self, *items) -> None:
        self.items = list(items)

    def __eq__(self, other):
        return isinstance(other, Steps) and self.items == other.items

    __hash__ = None

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self.items:
            raise StopAsyncIteration
        return await step(self.items.pop(0))


def generated(*items) -> Iterator[object]:
    """A generator with effects."""
    try:
        for item in items:
            LOG.append(("yield", item))
            yield item
    finally:
        LOG.append("generator closed")


async def agenerated(*items) -> AsyncIterator[object]:
    """An async generator with effects."""
    for item in items:
        yield await step(item)

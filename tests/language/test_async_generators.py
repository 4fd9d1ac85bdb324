"""The user's own async generators: their bodies are frames.  PYTEST_DONT_REWRITE"""

from tests.effects import LOG, AsyncManager, Steps, agenerated, note, step, turn
from tests.everywhere import everywhere


async def produce(n):
    """Steps before and after each item."""
    try:
        for i in range(n):
            await step(("before", i))
            yield i
            await turn(("after", i))
    finally:
        await step("producer done")


@everywhere()
async def test_steps_inside_of_an_async_generator():
    out = []
    async for item in produce(2):
        out.append(await step(item))
    return out


async def doubled(source):
    """An async generator over another."""
    async with AsyncManager("doubling"):
        async for item in source:
            yield await turn(item * 2)


@everywhere()
async def test_nested_async_generators():
    out = []
    async for item in doubled(produce(2)):
        out.append(item)
        await step(("got", item))
    else:
        await step("else")
    return out


@everywhere()
async def test_leaving_early():
    async for item in agenerated(1, 2, 3):
        if await step(item) == 2:
            break
    else:
        note("not reached")
    return item


async def failing():
    """Raises after an item."""
    yield 1
    await step("failing")
    raise KeyError("inside")


@everywhere()
async def test_exceptions_pass_through():
    try:
        async for _item in failing():
            await step("body")
    except KeyError as error:
        await step("handling")
        return repr(error)


@everywhere()
async def test_comprehensions_over_async_generators():
    return (
        [x async for x in produce(2)],
        {x: y async for x in agenerated(1, 2) for y in [await step(x)] if y != 1},
        [f() for f in [lambda x=x: x async for x in agenerated(3, 4)]],
        [f() async for f in (lambda: x async for x in agenerated(5))]
        + [x async for x in (await step(y) for y in "ab")],
    )


@everywhere()
async def test_a_captured_comprehension_variable():
    functions = [lambda: (x, y) async for x in agenerated(1, 2) for y in await step([x, x * 10])]
    return [f() for f in functions]


@everywhere()
async def test_async_iterators_that_are_no_generators():
    out = []
    async for a, b in Steps((1, 2), (3, 4)):
        if a == 3:
            continue
        out.append(await step(a + b))
    return out


class Stream:
    """An async generator method."""

    def __init__(self, *items) -> None:
        self.items = items

    async def __aiter__(self):
        for item in self.items:
            await step(("stream", item))
            yield item


@everywhere()
async def test_aiter_as_an_async_generator_method():
    return [item async for item in Stream(1, 2)]


@everywhere()
async def test_a_name_that_is_used_before_and_after():
    item = "before"
    async for item in agenerated(1, 2):
        pass
    await step(item)
    del LOG[:0]
    return item


@everywhere()
async def test_an_async_generator_driven_by_hand():
    source = agenerated("a", "b", "c")
    first = await source.__anext__()
    await step("between")
    second = await source.asend(None)
    await step("closing")
    await source.aclose()
    return first, second


async def echo():
    """Takes what is sent, and what is thrown."""
    got = None
    while True:
        try:
            got = yield await step(got)
        except ValueError as error:
            got = str(error)


@everywhere()
async def test_sending_into_an_async_generator():
    e = echo()
    return [await e.asend(None), await e.asend(1), await e.athrow(ValueError("thrown")), await e.asend(2)]


async def doubled_while(source):
    """Stands in an ``async with``, an ``async for``, a handler, and a ``while`` whose test awaits."""
    async with AsyncManager("doubling") as name:
        async for item in source:
            try:
                yield (name, item * 2)
            except ValueError as error:
                yield str(error)
        left = 2
        while await step(left):
            yield left
            left -= 1


@everywhere()
async def test_one_that_is_asked_by_hand_stands_in_constructs_that_await():
    source = doubled_while(agenerated(1, 2))
    items = [await anext(source)]
    await step("after the first")
    items.append(await source.athrow(ValueError("thrown")))
    await step("after the error")
    while (item := await anext(source, None)) is not None:
        items.append(item)
        await step(("after", item))
    return items


@everywhere()
async def test_generator_expressions_that_are_asked_by_hand():
    amount = 10
    added = (x + amount async for x in agenerated(1, 2, 3))
    awaited = (await step(x) for x in (4, 5, 6))
    out = [await anext(added), await anext(awaited)]
    await step("held")
    out += [await anext(added), await anext(awaited)]
    amount = await step(20)
    return [*out, [x async for x in added], [x async for x in awaited]]

"""Generators and coroutines that are held or iterated across awaits.  PYTEST_DONT_REWRITE"""

import contextlib

from tests.effects import LOG, agenerated, generated, note, step, turn
from tests.everywhere import everywhere


@everywhere()
async def test_iterating_over_a_generator():
    out = []
    for item in generated(1, 2, 3):
        out.append(await step(item))
    return out


def countdown(n):
    """Yields, takes what is sent, handles what is thrown."""
    total = 0
    while n:
        try:
            got = yield n, total
            total += got or 0
        except KeyError as error:
            total += 100
            LOG.append(repr(error))
        finally:
            note(("counted", n))
        n -= 1
    return total


@everywhere()
async def test_sending_and_throwing():
    g = countdown(4)
    out = [next(g)]
    await step(1)
    out.append(g.send(5))
    await step(2)
    out.append(g.throw(KeyError("k")))
    await step(3)
    out.append(next(g))
    await step(4)
    try:
        next(g)
    except StopIteration as stop:
        out.append(stop.value)
    await step(5)
    return out, list(g)


def delegating(n):
    """Delegates to another generator, and to an iterator."""
    result = yield from countdown(n)
    yield from [result, "list"]
    for x in (y * 2 for y in range(2)):
        yield x


@everywhere()
async def test_yield_from():
    g = delegating(2)
    out = []
    for item in g:
        out.append(await step(item))
    return out


def nested_constructs(items):
    """Stands in loops, managers and handlers."""
    for outer in items:
        with contextlib.suppress(ZeroDivisionError):
            for inner in {"a": 1, "b": 2}.items():
                try:
                    yield outer, inner
                    raise ValueError(outer)
                except ValueError as error:
                    try:
                        yield str(error)
                        raise TypeError from error
                    except TypeError as second:
                        yield repr(second.__context__)
                finally:
                    yield "finally"
            1 / 0


@everywhere()
async def test_a_generator_inside_of_loops_managers_and_handlers():
    out = []
    g = nested_constructs([1, 2])
    for item in g:
        out.append(await step(item))
    return out


def operands():
    """Suspended in the middle of an expression."""
    x = yield 0
    y = [x, (yield 1), (yield 2)]
    yield note(max)((yield 3), (yield 4), key=(yield 5))
    x += yield 6
    return x, y


@everywhere()
async def test_a_generator_in_the_middle_of_an_expression():
    g = operands()
    out = [next(g)]
    for value in ["x", "y", "z", 5, 6, abs, None, "more"]:
        out.append(g.send(await step(value)))
        if len(out) == 8:
            break
    try:
        g.send(await step("end"))
    except StopIteration as stop:
        return out, stop.value


@everywhere()
async def test_closing_runs_finally_once():
    g = generated(1, 2, 3)
    next(g)
    await step("open")
    g.close()
    await step("closed")
    return list(g)


@everywhere()
async def test_generator_expressions_and_unstarted_generators():
    squares = (note(x) ** 2 for x in range(3) if x != 1)
    fresh = generated("a")
    await step(1)
    first = next(squares)
    await step(2)
    return first, list(squares), list(fresh)


class Tree:
    """Iterates over itself, and holds its own iterator."""

    def __init__(self, value, *children):
        self.value, self.children = value, children
        self.walker = None

    def __iter__(self):
        yield self.value
        for child in self.children:
            yield from child

    def start(self):
        """Make the cycle: the generator's frame holds self, and self the generator."""
        self.walker = iter(self)
        return self


@everywhere()
async def test_a_generator_in_a_cycle_with_its_object():
    tree = Tree(1, Tree(2, Tree(3)), Tree(4)).start()
    out = []
    for item in tree.walker:
        out.append(await step(item))
    return out, tree.walker.gi_frame


@everywhere()
async def test_generators_over_generators_share_them():
    source = iter(range(10))
    evens = (x for x in source if x % 2 == 0)
    out = [next(evens)]
    await step(1)
    out.append(next(source))
    await step(2)
    out.append(next(evens))
    await step(3)
    return out, list(evens), list(source)


@everywhere()
async def test_closures_in_generators():
    count = 0

    def counting():
        nonlocal count
        while True:
            count += 1
            yield count

    g = counting()
    next(g)
    await step(1)
    count = 10
    await step(2)
    return next(g), count


@contextlib.contextmanager
def managed(name):
    """A manager that is a generator."""
    note(("open", name))
    try:
        yield name
    except KeyError:
        note("swallowed")
    finally:
        note(("close", name))


@everywhere()
async def test_managers_made_of_generators():
    with managed("a") as a, managed("b"):
        await step(a)
        await turn(1)
        raise KeyError
    return "after"


@everywhere()
async def test_a_coroutine_that_is_awaited_later():
    pending = turn("later")
    await step("first")
    return await pending


@everywhere()
async def test_iterating_over_an_async_generator():
    out = []
    async for item in agenerated(1, 2, 3):
        out.append(await turn(item))
    return out


@everywhere()
async def test_a_generator_that_is_left_by_return_is_closed_at_once():
    async def first():
        for value in generated(1, 2):
            return await step(value)

    value = await first()
    await step("closed before this")
    return value


@everywhere()
async def test_a_generator_expression_whose_first_iterable_awaits():
    found = (value * 2 for value in await step([1, 2, 3]))
    await step(next(found))
    return list(found)


@everywhere()
async def test_what_a_generator_is_called_and_delegates_to():
    waiting, started = countdown(1), delegating(2)
    waiting.__name__, waiting.__qualname__ = "name", "qualname"
    await step(1)
    next(started)
    await step(2)
    inner = started.gi_yieldfrom
    return waiting.__name__, waiting.__qualname__, inner.__name__, inner.gi_running, inner.gi_frame.f_lineno

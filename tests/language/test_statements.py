"""Control flow, definitions and scopes around awaits.  PYTEST_DONT_REWRITE"""

import functools
import itertools

from tests.effects import LOG, Steps, note, step, turn
from tests.everywhere import everywhere

TOTAL = 0


@everywhere()
async def test_if_elif_else():
    out = []
    for x in range(4):
        if await step(x == 0):
            out.append("zero")
        elif x == 1 or await step(x == 2):
            out.append(await step("one or two"))
        else:
            out.append("more")
    return out


@everywhere()
async def test_a_condition_changed_in_its_own_branch():
    state = "new"
    if state == "new":
        state = "seen"
        await step(1)
        result = "then"
    else:
        result = "else"
    return result, state


@everywhere()
async def test_while_with_else_break_and_continue():
    out = []
    for limit in (3, 9):
        i = 0
        while i < 5:
            i += 1
            if i == 2:
                continue
            if i == limit:
                break
            out.append(await step(i))
        else:
            out.append(await step("else"))
    return out


@everywhere()
async def test_while_whose_test_awaits():
    i = 0
    while await step(i) < 2:
        i += 1
        if i == 5:
            break
    else:
        note("else")
    n = 3
    while n and (await step(n)) != 1:
        n -= 1
        await turn(n)
    return i, n


@everywhere()
async def test_for_with_else_break_and_continue():
    out = []
    for items in ([1, 2, 3], [1, 5]):
        for x in items:
            if x == 1:
                continue
            if x == 3:
                break
            out.append(await step(x))
        else:
            out.append(await step("else"))
    return out


@everywhere()
async def test_loops_over_every_kind_of_iterator():
    out = []
    for pair in zip([1, 2], "ab", strict=True):
        out.append(await step(pair))
    for item in enumerate(map(str, filter(None, [0, 1, 2]))):
        out.append(await step(item))
    for item in reversed([1, 2]):
        out.append(await step(item))
    for item in {"k": 1}.items():
        out.append(await step(item))
    for item in sorted({3, 1, 2}):
        out.append(await step(item))
    for item in iter([5, 6, None].pop, None):
        out.append(await step(item))
    for char in "xy":
        out.append(await step(char))
    for byte in b"\x01\x02":
        out.append(await step(byte))
    return out


@everywhere()
async def test_pairs_and_batches():
    source = iter("abcdef")
    pairs, ended = itertools.pairwise(source), itertools.pairwise("x")
    fresh, out = itertools.pairwise("yz"), [next(pairs), list(ended)]
    await step(1)
    out += [next(pairs), next(source)]
    await step(2)
    out += [list(pairs), list(ended), list(fresh)]
    for pair in itertools.pairwise(range(4)):
        out.append(await step(pair))
    return out


class OnlyNext:
    """An iterator without ``__iter__``: a loop asks its iterable for one, once."""

    def __init__(self) -> None:
        self.left = 3

    def __next__(self):
        self.left -= 1
        if self.left < 0:
            raise StopIteration
        return self.left


class Iterable:
    """Gives one."""

    def __iter__(self):
        LOG.append("iter")
        return OnlyNext()


@everywhere()
async def test_a_loop_calls_iter_once():
    return [(x, await step(x)) for x in Iterable()], [await step(x) for x in [1]]


@everywhere()
async def test_an_iterator_that_others_use_too():
    source = iter([1, 2, 3, 4, 5])
    out = []
    for x in source:
        out.append((x, next(source, None)))
        await step(x)
    return out, list(source)


@everywhere()
async def test_a_list_that_grows_while_it_is_iterated():
    items = [1, 2]
    for x in items:
        if await step(x) < 3:
            items.append(x + 2)
    return items


@everywhere()
async def test_loop_targets():
    out = {}
    for out["k"], (a, *b) in [(1, (2, 3, 4)), (5, (6,))]:
        await step((out["k"], a, b))
    for out[await step("awaited")] in range(2):
        note(out["awaited"])
    return out, a, b


@everywhere()
async def test_match():
    async def what(value):
        match await step(value):
            case 0 | 1 as small:
                return "small", await step(small)
            case [x, y, *rest] if await step(x):
                return "sequence", x, y, rest
            case {"k": k, **others} if others:
                return "mapping", k, await step(others)
            case str() as text if text.startswith("a") and await step(text):
                return "text", text
            case Steps(items=[first, *_]):
                return "class", await step(first)
            case _:
                return "other", await step(value)

    values = [1, [1, 2, 3], [0, 2], {"k": 1, "z": 2}, {"k": 1}, "ab", "b", Steps(7), None]
    return [await what(value) if not isinstance(value, Steps) else (await what(Steps(7)))[0] for value in values]


@everywhere()
async def test_match_binds_even_when_the_guard_fails():
    match [1, 2]:
        case [a, b] if await step(a > b):
            return "no"
        case [c, d] if a == c and not await step(False):
            return a, b, c, d


@everywhere()
async def test_match_without_a_case_that_fits():
    match await step(3):
        case 4:
            await step("never")
    return await step("after")


@everywhere()
async def test_return_from_within():
    for i in range(3):
        while True:
            if await step(i) == 1:
                return i, "returned"
            break
    return None


@everywhere()
async def test_global_and_nonlocal():
    global TOTAL
    TOTAL = 0
    count = 0

    def increase():
        nonlocal count
        count += 1
        return count

    increase()
    TOTAL += await step(5)
    increase()
    await step(TOTAL)
    count += 10
    return increase(), count


@everywhere()
async def test_cells_are_shared_after_a_resume():
    x = 0
    functions = []
    for i in range(2):
        functions.append(lambda: (x, i))
        await step(i)

    def setter(value):
        nonlocal x
        x = value

    setter(5)
    await step("set")
    x += 1
    return [f() for f in functions]


@everywhere()
async def test_an_assignment_after_the_await_reaches_the_closure():
    x = 1

    def read():
        return x

    await step("x is not read again before it is set")
    x = 2
    return read()


@everywhere()
async def test_unbound_names_stay_unbound():
    if await step(False):
        ghost = 1
    try:
        return ghost
    except UnboundLocalError as error:
        first = str(error)

    def inner():
        return late

    try:
        inner()
    except NameError as error:
        first += str(error)
    await step(1)
    late = 5
    return first, inner()


@everywhere()
async def test_nested_functions():
    @functools.lru_cache
    def cached(a, b=note("default"), *, c=3):
        """Documented."""
        return a + b + str(c)

    cached.mark = "attribute"
    await step(1)
    result = cached("x")
    await step(2)
    return result, cached("x"), cached.mark, cached.__doc__, cached.__wrapped__.__name__


@everywhere()
async def test_nested_async_functions():
    total = 0

    async def add(n):
        nonlocal total
        for i in range(n):
            total += await step(i)
        return total

    await add(3)
    await step("between")
    return await add(2), total


@everywhere()
async def test_decorated_nested_async_functions():
    def twice(function):
        @functools.wraps(function)
        async def wrapper(*args):
            return await function(*args), await function(*args)

        return wrapper

    @twice
    async def work(x):
        await step(x)
        return x * 2

    return await work(4), work.__name__


@everywhere()
async def test_local_classes():
    class Point:
        """A local class."""

        dimension = 2

        def __init__(self, x, y):
            self.x, self.y = x, y

        def __eq__(self, other):
            return (self.x, self.y) == (other.x, other.y)

        __hash__ = None

        def size(self):
            return abs(self.x) + abs(self.y) + scale

        async def later(self):
            return await step(self.x)

        @classmethod
        def origin(cls):
            return cls(0, 0)

    class Point3(Point):
        def __init__(self, x, y, z):
            super().__init__(x, y)
            self.z = z

    scale = 10
    p = Point(1, 2)
    await step(1)
    q = Point3(1, 2, 3)
    await step(2)
    return p == q, p.size(), q.z, isinstance(q, Point), Point.origin() == Point(0, 0), await q.later(), type(p).__name__


@everywhere()
async def test_imports_inside():
    import json
    from collections import OrderedDict as Ordered

    await step(1)
    return json.dumps(Ordered(a=1))


class Base:
    """Methods and ``super()``."""

    def __init__(self, name) -> None:
        self.name = name
        self.__secret = name * 2

    async def greet(self, word):
        await step(word)
        return f"{word} {self.name}"

    async def secret(self):
        __local = await step(1)
        return self.__secret, __local


class Derived(Base):
    """Overrides one of them."""

    async def greet(self, word):
        first = await super().greet(word)
        loud = [part.upper() for part in first.split()]

        def captured():
            return self.name

        await turn(captured())
        return await super().greet(" ".join(loud))

    @classmethod
    async def make(cls, name):
        return cls(await step(name))

    @staticmethod
    async def pure(x):
        return await step(x)


@everywhere()
async def test_methods():
    d = await Derived.make("ada")
    return await d.greet("hi"), await d.secret(), await Derived.pure(3), await d.pure(4)


class Named:
    """Its methods call it by its name."""

    made = 0

    async def count(self):
        Named.made += 1
        await step(Named.made)
        return Named.made, (lambda: Named.__name__)(), isinstance(self, Named)

    class Inner:
        async def name(self):
            await step(1)
            return Named.Inner.__name__


@everywhere()
async def test_methods_that_name_their_class():
    class Local:
        async def name(self):
            await step(1)
            return Local.__name__, await Named.Inner().name()

    Named.made = 0
    return await Named().count(), await Local().name()


@everywhere(1, 2)
async def test_signatures(a, /, b, c=3, *args, d, e=5, **kwargs):
    await step(a)
    return a, b, c, args, d, e, kwargs


test_signatures.__wrapped__.__kwdefaults__["d"] = 4


@everywhere(5)
async def test_recursion(n=5):
    if n <= 1:
        return await step(1)
    return n * await test_recursion.__wrapped__(n - 1)


async def even(n):
    """Mutual recursion."""
    return True if n == 0 else await odd(n - 1)


async def odd(n):
    """The other half."""
    await step(n)
    return False if n == 0 else await even(n - 1)


@everywhere()
async def test_mutual_recursion():
    return await even(4), await odd(3)


@everywhere()
async def test_partial_and_callable_objects():
    class Adder:
        def __init__(self, n):
            self.n = n

        async def __call__(self, x):
            return await step(x + self.n)

    bound = functools.partial(step, 4)
    return await bound(), await Adder(3)(4), await functools.partial(Adder(1), 2)()


@everywhere()
async def test_aliasing_survives():
    shared = [1]
    pair = (shared, shared)
    box = {"list": shared}
    box["self"] = box
    await step(1)
    shared.append(2)
    await step(2)
    pair[0].append(3)
    return box["list"], box["self"] is box, pair[0] is pair[1] is shared


@everywhere()
async def test_an_alias_between_frames():
    async def work(items):
        items.append(await step("inner"))
        await step("more")
        items.append("end")

    items = []
    await work(items)
    return items


@everywhere()
async def test_locals_shows_the_users_names():
    a = 1
    b = [x for x in range(2)]
    for i in [await step(1)]:
        with_await = await step(i)
        names = sorted(locals())
    del b
    return names, sorted(dir()), sorted(vars()), a, with_await


@everywhere()
async def test_eval_sees_the_locals():
    a, b = 1, 2
    await step(1)
    return eval("a + b"), eval("[a, b]")


@everywhere()
async def test_docstring_and_strings_keep_their_text():
    """Has a docstring."""
    text = """a
      b"""
    await step(text)
    return text


@everywhere()
async def test_a_shared_variable_that_is_called_super():
    class super:
        text = "quite super"

    await step(1)

    class Other:
        def method(self):
            return super().text

    await step(2)
    return Other().method()


@everywhere()
async def test_annotations_of_targets_that_await():
    items = [1, 2]
    (await step([]))[await step(0)]: int
    items[await step(1)]: int = await step(5)
    return items

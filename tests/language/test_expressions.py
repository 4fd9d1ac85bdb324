"""Awaits in every position of an expression; Python's evaluation order.  PYTEST_DONT_REWRITE"""

from tests.effects import LOG, agenerated, note, step, turn
from tests.everywhere import everywhere


class Box:
    """Attributes and items whose accesses are logged."""

    def __init__(self, **values) -> None:
        self.__dict__.update(values)

    def __getitem__(self, key):
        LOG.append(("get", key))
        return self.__dict__.get(str(key), 0)

    def __setitem__(self, key, value):
        LOG.append(("set", key, value))
        self.__dict__[str(key)] = value

    def __delitem__(self, key):
        LOG.append(("delete", key))

    def method(self, *args, **kwargs):
        return args, sorted(kwargs.items())

    def __eq__(self, other):
        return self.__dict__ == other.__dict__

    __hash__ = None


def box(**values):
    """Make one, visibly."""
    return Box(**note(values))


@everywhere()
async def test_call_arguments():
    return note(max)(note(1), await step(5), note(3), key=note(abs)), await turn("end")


@everywhere()
async def test_star_arguments():
    def collect(*args, **kwargs):
        return args, kwargs

    return collect(*note([1, 2]), await step(3), *[await step(4)], **note({"a": 5}), b=await step(6), c=await step(7))


@everywhere()
async def test_method_call_looks_up_the_method_first():
    thing = box(name="thing")
    result = thing.method(note("first"), await step("second"), third=await step(3))
    return result, thing


@everywhere()
async def test_arithmetic():
    x = 1
    return x + await step(2) * note(3) - (await step(4)) ** 2, -(await step(5)), not await step(0)


@everywhere()
async def test_an_operand_is_read_before_the_await():
    x = 1

    async def change():
        nonlocal x
        x = 100
        return await step(1)

    return x + await change(), x


@everywhere()
async def test_boolean_operators_stop_early():
    return (
        await step(0) and await step(1),
        await step(1) and await step(2),
        await step(0) or await step(3) or note(4),
        await step(5) or await step(6),
        (await step(0) or note(0)) and await step(7),
    )


@everywhere()
async def test_conditional_expressions():
    return await step("yes") if await step(True) else await step("no"), (
        note("then") if await step(False) else await step("else")
    )


@everywhere()
async def test_chained_comparisons():
    return (
        note(1) < await step(2) < note(3) <= await step(3) < await step(9),
        await step(5) < note(4) < await step("never"),
        note(1) in [await step(1)],
    )


@everywhere()
async def test_formatted_strings():
    width = 6
    return f"{note('a')!r:>5}|{await step('b')}|{note(2.5):{await step(width)}.{note(2)}f}|{note('c')}"


class Shown:
    """Tells when it is shown."""

    def __repr__(self):
        return note("shown")


@everywhere(8)
async def test_a_conversion_beside_a_format_that_awaits(width):  # since Python 3.13 it comes first
    return f"{Shown()!r:>{await step(width)}}|{await step(1)!r:{note('<')}{await step(3)}}|{Shown()!s}"


@everywhere()
async def test_what_is_converted_beside_a_format_that_awaits_is_converted_once():
    return (
        f"{'ä'!r:>{await step(8)}}|{await step('ö')!a:{note('<')}{await step(9)}}|{[await step('ü')]!s:{await step(9)}}"
    )


@everywhere()
async def test_displays():
    return (
        [note(1), await step(2), *note([3]), *[await step(4)]],
        (note(1), await step(2)),
        {note(1), await step(2)},
        {note("a"): await step(1), **note({"b": 2}), await step("c"): note(3), "d": await step(4)},
    )


@everywhere()
async def test_assignment_expressions():
    if (n := await step(3)) > 2:
        m = (k := await step(n)) + (k := note(10)) + k
    return n, m, k


@everywhere()
async def test_subscripts_and_slices():
    items = list(range(10))
    return items[await step(3)], items[note(1) : await step(7) : await step(2)], box(a=1)[await step("a")]


@everywhere()
async def test_lambda_defaults():
    f = lambda a, b=await step(2), *, c=await step(3): a + b + c  # noqa: E731
    return f(1)


@everywhere()
async def test_attribute_of_an_awaited_value():
    return (await step(box(size=4))).size, (await step("abc")).upper()


@everywhere()
async def test_augmented_assignment_reads_the_target_first():
    x = [1]
    alias = x
    x += await step([2])
    thing = box(count=1)
    thing.count += await step(10)
    thing[note("k")] += await step(5)
    items = [1, 2, 3, 4]
    items[note(1) : note(3)] += await step([9])
    return x is alias, x, thing, items


@everywhere()
async def test_unpacking():
    a, (b, *c), d = await step((1, (2, 3, 4), 5))
    thing = box()
    thing[note("x")], thing[await step("y")], *rest = await step([6, 7, 8, 9])
    first = second = await step(10)
    return a, b, c, d, thing, rest, first, second


@everywhere()
async def test_starred_target_with_await():
    thing = box()
    a, *thing[await step("middle")], z = note([1, 2, 3, 4])
    return a, thing, z


@everywhere()
async def test_deleting():
    thing = box()
    items = [1, 2, 3]
    del thing[await step("a")], items[await step(0)]
    x = await step(1)
    del x
    try:
        return x
    except UnboundLocalError as error:
        return items, str(error)


@everywhere()
async def test_annotated_assignment():
    x: int = await step(1)
    y: "no such type"
    thing = box()
    thing.z: int = await step(3)
    return x, thing


@everywhere()
async def test_asserting():
    assert await step(True), await step("not evaluated")
    try:
        assert await step(0), await step("message")
    except AssertionError as error:
        return str(error)


@everywhere()
async def test_comprehensions():
    return (
        [await step(x) for x in note([1, 2, 3]) if await step(x != 2)],
        {await step(x) for x in [1, 1]},
        {await step(k): await step(v) for k, v in note({"a": 1}).items()},
        [x + y for x in await step([1, 2]) for y in [x, await step(10)]],
        [x async for x in agenerated(1, 2) if x > 1],
    )


@everywhere()
async def test_a_comprehension_that_only_awaits_in_one_of_its_own():
    kept = [[lambda: x, *[y async for y in agenerated(x, 2)]] for x in note([1, 2])]
    awaited = {len([z async for z in agenerated(x)]): await step(x) for x in [3] if (lambda: x)()}
    return [(first(), rest) for first, *rest in kept], awaited


@everywhere()
async def test_a_comprehension_has_a_scope_of_its_own():
    x = "outer"
    inner = [await step(x) for x in range(2)]
    walrus = [(last := await step(y)) for y in range(3)]
    shadow = [[x for x in range(await step(x))] for x in range(2, 4)]
    return x, inner, walrus, last, shadow


@everywhere()
async def test_generator_expression_over_an_awaited_iterable():
    return sum(x * x for x in await step([1, 2, 3])), await step("end")


@everywhere()
async def test_nested_awaits():
    return await step(await step(await turn(1)) + await step(2))


@everywhere()
async def test_await_in_an_index_of_a_call_result():
    async def maker():
        return await step({"k": [1, 2, 3]})

    return (await maker())[await step("k")][await step(1)]


@everywhere()
async def test_a_global_beside_a_variable_of_a_comprehension():
    squares = [LOG * LOG for LOG in range(3)]
    await step(1)
    return squares, type(LOG).__name__


@everywhere()
async def test_a_comprehension_whose_variable_a_generator_expression_reads():
    changes = [2, 3]
    await step(1)
    delivered = [message for message in (1, 2, 3) if any(message is change for change in changes)]
    await step(2)
    return delivered


@everywhere()
async def test_a_keyword_that_is_given_twice():
    async def called(*args, **options):
        return args, options

    out = []
    for more in ({"x": 3}, {"z": 3}):
        try:
            out.append(await called(note(1), x=await step(5), **more, y=await step(2), **{"w": note(4)}))
        except TypeError as error:
            out.append(str(error))
    try:
        dict(x=1, **{"x": 2}, y=await step("never"))
    except TypeError as error:
        out.append(str(error))
    return out


@everywhere()
async def test_a_captured_variable_of_a_comprehension_is_not_the_one_around_it():
    i, j, k = 20, 30, 40
    other = lambda: k  # noqa: E731

    def has_its_own():
        i = [(lambda i=i: i) for i in range(2)]
        return [item() for item in i]

    def has_none():
        return [i for i in range(2)]

    await step("before")
    items = {(lambda: i) for i in range(5)}
    found = {item() for item in items}, i
    await step("after")
    rows = [[(lambda: (i, j)) for j in range(2)] for i in range(3)]
    await step("nested")
    return (
        found,
        i,
        j,
        k,
        other(),
        has_its_own(),
        has_none(),
        [cell() for row in rows for cell in row],
        {item() for item in items},
    )


@everywhere()
async def test_a_constant_that_is_not_a_number():
    nan = 1e300 * 1e300 * 0  # computed by the compiler
    pair = (await step(1), -1e300 * 1e300 * 0j)
    return repr(nan), repr(pair), (lambda: repr(1e300 * 1e300 * 0))()

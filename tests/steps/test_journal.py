"""What finishes inside of a step does not run again with the step."""

import asyncio
import pickle

import pytest

from durable_ast import (
    DurableBackend,
    InMemoryStateStore,
    NotPersistableError,
    StaleOwnerError,
    StoreError,
    current_run,
    current_step,
    make_durable,
    step,
    step_key,
)

from ..effects import LOG, note
from ..everywhere import RecordingStore, everywhere


async def run(program, *args, store=None):
    return await program(*args, orchestration_backend=DurableBackend(store or InMemoryStateStore()), instance_id="it")


@step
async def unit(value, delay=0):
    for _ in range(delay):
        await asyncio.sleep(0)
    note(("unit", value))
    return value


@step
async def nested(value):
    return await unit(value), await unit(value)


@step(retries=2)
async def retried():
    values = await unit("a"), await nested("b"), await unit("c", step_id="my own")
    attempt = current_step().attempt
    if attempt < 3:
        raise OSError(f"attempt {attempt}")
    return values


@make_durable
async def retries():
    return await retried()


async def test_a_retry_finds_what_has_finished():
    LOG.clear()
    assert await run(retries) == ("a", ("b", "b"), "c")
    assert LOG == [("unit", "a"), ("unit", "b"), ("unit", "b"), ("unit", "c")]


async def parallel(order):
    """As a library calls what it was given: in any order, at once."""
    return dict(
        zip(order, await asyncio.gather(*(unit(value, index) for index, value in enumerate(order))), strict=True)
    )


@make_durable
async def loops(orders):
    seen = []
    for order in orders:
        seen.append(await step(parallel)(order))
        seen.append(await unit("between"))
    return seen


ORDERS = [["a", "b", "c"], ["c", "c", "a"], ["b"]]


async def test_resumed_from_every_write():
    store = RecordingStore()
    LOG.clear()
    expected = await run(loops, ORDERS, store=store)
    effects = list(LOG)
    assert len(effects) == 10
    for executed, state in store.states:
        LOG.clear()
        assert await run(loops, ORDERS, store=RecordingStore(state)) == expected
        assert sorted(LOG) == sorted(effects[executed:])
    assert "j/" not in str(pickle.loads(store.last)), "entries are left"


@everywhere()
async def test_units_in_order():
    first = await nested("a")
    try:
        await step(failing)()
    except OSError as error:
        return first, str(error), await nested("b")


async def failing():
    await unit(1)
    await unit(2)
    raise OSError("down")


async def test_entries_of_one_turn_of_a_loop_are_none_of_the_next():
    LOG.clear()
    assert await run(loops, [["a"], ["a"]]) == [{"a": "a"}, "between", {"a": "a"}, "between"]
    assert LOG.count(("unit", "a")) == 2


@make_durable
async def fails_once(marks):
    try:
        return await step(flaky)(marks)
    finally:
        await unit("cleaned up")


async def flaky(marks):
    first = await unit("paid")
    if not current_marks:
        current_marks.append(1)
        raise OSError("the network is down")
    return first


current_marks: list[int] = []


async def test_an_instance_called_again_after_an_error_finds_what_had_finished():
    LOG.clear()
    current_marks.clear()
    store = InMemoryStateStore()
    with pytest.raises(OSError, match="network"):
        await run(fails_once, 1, store=store)
    assert await run(fails_once, 1, store=store) == "paid"
    assert LOG.count(("unit", "paid")) == 1


async def test_an_instance_that_failed_starts_again_if_its_arguments_cannot_be_saved():
    LOG.clear()
    current_marks.clear()
    store = InMemoryStateStore()

    @make_durable
    async def program(marks):
        return await step(flaky)(marks)

    with pytest.raises(OSError, match="network"):
        await run(program, Unsavable(), store=store)
    assert await run(program, Unsavable(), store=store) == "paid"
    assert LOG == [("unit", "paid")]


async def test_a_unit_that_fails_runs_again():
    LOG.clear()

    @step
    async def fails():
        note("fails")
        if LOG.count("fails") == 1:
            raise OSError("down")
        return "worked"

    @step(retries=1)
    async def outer():
        return await fails()

    @make_durable
    async def program():
        return await outer()

    assert await run(program) == "worked"
    assert LOG == ["fails", "fails"]


# the port for integrations


async def library(question, fail):
    """Knows of no instance but through the port."""
    port = current_run()

    async def request():
        note(("request", question))
        inner = current_run()
        return await inner.once("inner", lambda: asyncio.sleep(0, (question, inner.key))), step_key()

    first = await port.once("a key / with \0 any 'text' ✓", request)
    assert await port.lookup("unknown") is None
    await port.record("mark", None)
    assert (await port.lookup("mark")).value is None
    if fail and current_step().attempt == 1:
        raise OSError("again")
    assert first[0][1] == first[1], "inside of a unit, the key is the unit's"
    return first[0][0], port.attempt, [port.ordinal("x"), port.ordinal("x"), port.ordinal("y")]


@make_durable
async def integrated():
    assert current_run() is None
    return await step(library, retries=1)("one", True), await step(library)("two", False)


async def test_the_port():
    LOG.clear()
    assert current_run() is None
    assert await run(integrated) == (("one", 2, [0, 1, 0]), ("two", 1, [0, 1, 0]))
    assert LOG == [("request", "one"), ("request", "two")]


class Unsavable:
    def __reduce__(self):
        raise TypeError("no pickle of a connection")


@step
async def connect():
    note("connect")
    return Unsavable()


@make_durable
async def swallows():
    async def body():
        try:
            await connect()
        except Exception:
            note("swallowed")
        return 1

    return await step(body, retries=5)()


async def test_an_entry_that_cannot_be_kept_stops_the_instance():
    LOG.clear()
    with pytest.raises(NotPersistableError, match=r"instance 'it': .*connect\(.*gave a Unsavable"):
        await run(swallows)
    assert LOG == ["connect", "swallowed"]


@pytest.mark.parametrize("error", [StoreError("full"), StaleOwnerError("newer")])
async def test_an_entry_that_cannot_be_written_stops_the_instance(error):
    class Store(InMemoryStateStore):
        def commit(self, record, consumed, flush, parts, *rest):
            if parts:
                raise error
            super().commit(record, consumed, flush, parts, *rest)

    LOG.clear()
    with pytest.raises(type(error), match=str(error)):
        await run(loops, [["a"]], store=Store())
    assert LOG == [("unit", "a")]


async def test_a_plain_call_keeps_no_journal():
    LOG.clear()
    assert await nested("x") == ("x", "x")
    assert LOG == [("unit", "x"), ("unit", "x")]


async def test_another_instance_inside_of_a_step_has_its_own():
    @make_durable
    async def inner():
        return await step(parallel)(["a"])

    async def outer():
        return await inner(orchestration_backend=DurableBackend(), instance_id="inner"), current_run().instance_id

    @make_durable
    async def program():
        return await step(outer)()

    assert await run(program) == ({"a": "a"}, "it")


async def marks():
    port = current_run()
    await port.record("started", True)
    if await port.lookup("unit"):
        return "known"
    await port.record("unit", True)
    return "new"


@make_durable
async def marked():
    return await step(marks)()


async def test_what_is_recorded_first_hides_nothing_that_was_recorded_before():
    store = RecordingStore()
    assert await run(marked, store=store) == "new"
    again = [await run(marked, store=RecordingStore(state)) for _, state in store.states]
    assert again == ["new", "new", "known", "new", "new"]


@step(retries=3)
async def stubborn(name):
    attempt = current_step().attempt
    note((name, attempt))
    if attempt < 3:
        raise OSError(name)
    return attempt


@step(retries=1)
async def hopeless():
    note(("hopeless", current_step().attempt))
    raise OSError("hopeless")


@step(retries=1)
async def tries_twice():
    try:
        await hopeless()
    except OSError:
        if current_step().attempt == 1:
            raise
    return await stubborn("a"), await stubborn("b")


@make_durable
async def stubbornly():
    return await tries_twice()


async def test_the_attempts_of_a_unit_go_on_being_counted():
    store = RecordingStore()
    LOG.clear()
    assert await run(stubbornly, store=store) == (3, 3)
    log = list(LOG)
    assert log == [("hopeless", 1), ("hopeless", 2)] * 2 + [(name, attempt) for name in "ab" for attempt in (1, 2, 3)]
    for index, (executed, state) in enumerate(store.states):
        LOG.clear()
        assert await run(stubbornly, store=RecordingStore(state)) == (3, 3)
        before, after = (attempts_in(entries) for entries in (log[:executed], LOG))
        assert after in (attempts_in(log)[len(before) :], attempts_in(log)[len(before) - 1 :]), f"state {index + 1}"


def attempts_in(log):
    """The attempts that are counted; a unit that has failed for good begins anew with the step around it."""
    return [entry for entry in log if entry[0] != "hopeless"]


@step
async def sold(item):
    note(("sold", item))
    return item


@step
async def sells(items):
    return await asyncio.gather(*(sold(item, step_id="sale") for item in items))


@step
async def sells_in_turn(items):
    return [await sold(item, step_id="sale") for item in items]


@step
async def sells_once():
    return [await sold("tea", step_id="sale") for _ in range(3)]


@pytest.mark.parametrize("sale", [sells, sells_in_turn])
@pytest.mark.parametrize("durably", [True, False])
async def test_two_calls_with_one_name_are_refused(sale, durably):
    async def shop():
        return await sale(["tea", "milk"])

    LOG.clear()
    call = make_durable(shop)(orchestration_backend=DurableBackend(), instance_id="it") if durably else shop()
    with pytest.raises(ValueError, match=r"step_id 'sale' was given to two calls inside of step .*sells"):
        await call
    assert ("sold", "milk") not in LOG


async def test_a_call_with_a_name_is_made_once():
    async def shop():
        return await sells_once()

    LOG.clear()
    assert await make_durable(shop)(orchestration_backend=DurableBackend(), instance_id="it") == ["tea"] * 3
    assert LOG == [("sold", "tea")]

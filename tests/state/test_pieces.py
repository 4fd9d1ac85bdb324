"""Large flat lists: whatever is done to them, what is read is what was there."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durable_ast import (
    DurableBackend,
    InMemoryStateStore,
    PauseForEventException,
    SQLiteStore,
    make_durable,
    wait_for_event,
)
from durable_ast.errors import CorruptStateError
from durable_ast.state import snapshot
from durable_ast.state.diff import patched
from durable_ast.state.pieces import MANY, Lists, Pieces

from ..everywhere import everywhere

atoms = (
    st.text(max_size=5) | st.binary(max_size=5) | st.integers() | st.floats(allow_nan=False) | st.none() | st.booleans()
)
places = st.integers(0, 3 * MANY)
changes = st.one_of(
    st.tuples(st.just("set"), places, atoms),
    st.tuples(st.just("append"), places, atoms),
    st.tuples(st.just("insert"), places, atoms),
    st.tuples(st.just("cut"), places, st.integers(0, 80)),
    st.tuples(st.just("mutable"), places, st.lists(st.integers(), max_size=2)),
)


def change(items, kind, place, value):
    if kind == "append":
        items.append(value)
    elif kind == "cut":
        del items[max(len(items) - value, 0) :]
    elif kind == "insert":
        items.insert(place, value)
    elif items:
        items[place % len(items)] = value


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(changes, max_size=4), max_size=8))
def test_what_is_read_is_what_was_there(history):
    first, second = [str(number) for number in range(2 * MANY)], list(range(MANY + 7))
    lists, last = Lists(), None
    for turn, edits in enumerate(history):
        for edit in edits:
            change(first if turn % 3 else second, *edit)
        graph = {"first": first, "second": second, "both": [first, second, turn]}
        state = snapshot.dumps_in_pieces(graph, graph.values(), lists)
        read = snapshot.loads(bytes(state))
        assert repr(read) == repr(graph)
        assert read["both"][0] is read["first"] and read["both"][1] is read["second"]
        assert len(state) == len(bytes(state))
        hunks = state.since(last) if isinstance(state, Pieces) and isinstance(last, Pieces) else None
        if hunks is not None:
            assert patched(bytes(last), hunks) == bytes(state)
        last = state


def test_only_what_has_changed_is_pickled():
    items = [str(number) for number in range(100_000)]
    lists = Lists()
    before = snapshot.dumps_in_pieces([items], [items], lists)
    items[50_000] = "changed"
    after = snapshot.dumps_in_pieces([items], [items], lists)
    same = sum(old is new for old, new in zip(before.lists[0], after.lists[0], strict=True))
    assert len(before.lists[0]) - same == 1
    assert sum(len(new) for _, _, new in after.since(before)) < 100


def test_an_object_that_could_change_is_never_taken_for_the_same():
    items = [str(number) for number in range(2 * MANY)]
    lists = Lists()
    snapshot.dumps_in_pieces([items], [items], lists)
    items[5] = inner = []
    snapshot.dumps_in_pieces([items], [items], lists)
    inner.append("later")
    assert snapshot.loads(bytes(snapshot.dumps_in_pieces([items], [items], lists)))[0][5] == ["later"]


def test_equal_is_not_the_same():
    items = [1] * (2 * MANY)
    lists = Lists()
    for value in (True, 1.0, 1):
        items[9] = value
        read = snapshot.loads(bytes(snapshot.dumps_in_pieces([items], [items], lists)))[0]
        assert type(read[9]) is type(value)


@pytest.mark.parametrize("place", [1, 12, 40, 9000, -3])
def test_damage_is_found(place):
    items = [str(number) for number in range(2 * MANY)]
    data = bytearray(bytes(snapshot.dumps_in_pieces([items], [items], Lists())))
    data[place] ^= 1
    with pytest.raises(CorruptStateError, match="damaged"):
        snapshot.loads(bytes(data))


async def step(value):
    await asyncio.sleep(0)
    return value


@everywhere()
async def test_it_goes_on_with_the_list():
    """Two names for one list, which an inner list holds too, while it grows, shrinks and changes."""
    items = [f"{number:06d}" for number in range(5000)]
    again, held = items, [items]
    for number in range(12):
        items[number * 37 % len(items)] = await step(f"changed {number}")
        if number % 5 == 0:
            again.append(await step("more"))
        if number % 7 == 0:
            del held[0][-3:]
    return items is again and held[0] is items, items


class Table:
    def __init__(self):
        self.rows = [f"{number:06d}" for number in range(3000)]


@everywhere()
async def test_a_list_that_an_object_holds():
    table = Table()
    named = {"rows": table.rows, "table": table}
    for number in range(5):
        table.rows[number * 700] = await step(number)
    return named["rows"] is table.rows and named["table"] is table, table.rows


@pytest.mark.parametrize("make", [lambda path: SQLiteStore(path / "x.db"), lambda _: InMemoryStateStore()])
async def test_it_goes_on_in_a_store(tmp_path, make):
    store = make(tmp_path)
    with pytest.raises(PauseForEventException):
        await carry(60, orchestration_backend=DurableBackend(store), instance_id="it")
    backend = DurableBackend(store if isinstance(store, InMemoryStateStore) else make(tmp_path))
    await asyncio.wrap_future(backend.publish_event("it", "go"))
    items = await carry(60, orchestration_backend=backend, instance_id="it")
    assert items == [
        f"changed {number // 37}" if number % 37 == 0 and number < 2220 else f"{number:06d}" for number in range(5000)
    ]


@make_durable
async def carry(count):
    items = [f"{number:06d}" for number in range(5000)]
    for number in range(count):
        items[number * 37 % len(items)] = await step(f"changed {number}")
        if number == count // 2:
            await wait_for_event("go")
    return items


@make_durable
async def breathes(width):
    """A list that becomes large, and small again, a few elements at a time."""
    items = [f"{number:0{width}}" for number in range(MANY)]
    for number in range(MANY, 2 * MANY, 4):
        items += [f"{more:0{width}}" for more in range(number, number + 4)]
        await step(number)
    await wait_for_event("go")
    while len(items) > MANY:
        del items[-4:]
        await step(len(items))
    return items


@pytest.mark.parametrize("width", range(2, 15, 3))
@pytest.mark.parametrize(
    "make", [lambda path: SQLiteStore(path / "x.db", synchronous="NORMAL"), lambda _: InMemoryStateStore()]
)
async def test_a_list_that_becomes_large_and_small_again(tmp_path, make, width):
    """Whatever its elements are like, some size is where the store begins to keep differences."""
    store = make(tmp_path)
    with pytest.raises(PauseForEventException):
        await breathes(width, orchestration_backend=DurableBackend(store), instance_id="it")
    backend = DurableBackend(store if isinstance(store, InMemoryStateStore) else make(tmp_path))
    await asyncio.wrap_future(backend.publish_event("it", "go"))
    items = await breathes(width, orchestration_backend=backend, instance_id="it")
    assert items == [f"{number:0{width}}" for number in range(MANY)]

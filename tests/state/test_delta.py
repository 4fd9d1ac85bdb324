"""Large states: only what changed is written, and what is read is the last one."""

import asyncio
import pickle
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from durable_ast import DurableBackend, SQLiteStore, make_durable
from durable_ast.state import delta
from durable_ast.state.unframed import unframed

edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=40)), max_size=6)


def edited(state, changes):
    for place, length, new in changes:
        start = int(place * len(state))
        state = state[:start] + new + state[start + length :]
    return state


@given(st.binary(max_size=400), st.integers(1, 5), edits)
def test_a_patch_makes_the_new_bytes_of_the_old_ones(piece, times, changes):
    old = piece * times
    new = edited(old, changes)
    patched = bytearray(old)
    for start, length, put in reversed(delta.diff(old, new)):
        patched[start : start + length] = put
    assert bytes(patched) == new


@settings(max_examples=30)
@given(st.integers(), st.lists(edits, max_size=60))
def test_what_is_stored_is_always_the_last_state(seed, history):
    state, shadow, stored = random.Random(seed).randbytes(40_000), delta.Shadow(), {}
    for changes in history:
        state = edited(state, changes)
        record, parts = shadow.next(state)
        if delta.PATCHES in parts:
            stored.clear()
        stored.update(parts)
        patches = [stored[name] for name in sorted(stored) if name.startswith(f"{delta.PATCHES}/")]
        assert delta.whole(record, stored[delta.BASE], patches) == state
        assert sum(map(len, patches)) <= len(state)


@given(
    st.recursive(
        st.binary() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_pickles_without_frames_are_the_same(value):
    large = [value, b"b" * 70_000, "t" * 70_000, [str(number) for number in range(5000)], bytearray(70_000)]
    for each in (value, large):
        assert pickle.loads(unframed(pickle.dumps(each, 5))) == each


async def test_what_a_checkpoint_writes_grows_with_what_changed(tmp_path):
    """A list of a megabyte is carried through 300 steps, and one element changes in each."""
    store = SQLiteStore(tmp_path / "durable.db", synchronous="NORMAL")
    await carry(300, orchestration_backend=DurableBackend(store), instance_id="it")
    await store.close()
    assert WRITTEN["bytes"] < 1_000_000 + 300 * 10_000
    assert WRITTEN["size"] > 1_000_000


WRITTEN = {"bytes": 0, "size": 0}


@make_durable(deep=False)
async def carry(steps: int) -> int:
    items = [f"element {number} {'x' * 90}" for number in range(10_000)]
    for step in range(steps):
        items[step * 7919 % 10_000] = await changed(step)
    return sum(map(len, items))


async def changed(step):
    await asyncio.sleep(0)
    return f"changed in step {step} {'y' * (step % 50)}"


class _Counting(delta.Shadow):
    def next(self, state):
        record, parts = super().next(state)
        WRITTEN["size"] = max(WRITTEN["size"], len(state or b""))
        WRITTEN["bytes"] += sum(len(value) for value in (record, *parts.values()) if value is not None)
        return record, parts


def setup_module():
    delta.Shadow = _Counting


def teardown_module():
    delta.Shadow = _Counting.__mro__[1]

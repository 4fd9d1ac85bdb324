"""Large states as a base and patches: what is read is the last one, and what is kept stays bounded."""

import pickle
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durable_ast import CorruptStateError
from durable_ast.state import delta, diff
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
    (hunks,) = diff.unpacked(diff.packed(diff.diff(old, new)))
    assert diff.patched(old, hunks) == new


@pytest.mark.parametrize(("gone", "come"), [(400, 900), (900, 400), (2000, 2000), (0, 3000), (3000, 0)])
def test_something_large_has_moved(gone, come):
    """What was before it has gone, and as much or more has come behind it."""
    image, other = random.Random(1).randbytes(200_000), random.Random(2).randbytes(6_000)
    old = other[:gone] + image
    new = image + other[3000 : 3000 + come]
    hunks = diff.diff(old, new)
    assert diff.patched(old, hunks) == new
    assert sum(len(data) for _, _, data in hunks) <= come + 100


def test_of_a_window_that_moves_over_records_little_is_written():
    """What names the first of several equal texts is another one with each move."""
    chance = random.Random(1)
    words = [chance.randbytes(4).hex() for _ in range(500)]
    records = [
        {"role": ("user", "assistant")[number % 2], "text": " ".join(chance.choices(words, k=12)), "number": number}
        for number in range(3_000)
    ]
    for old, new in ((records[:-1], records[1:]), (records, [{"role": "system", "text": "x", "number": 0}, *records])):
        before, after = (b"".join(unframed(pickle.dumps(each, 5))) for each in (old, new))
        hunks = diff.diff(before, after)
        assert diff.patched(before, hunks) == after
        assert len(diff.packed(hunks)) < len(after) // 16


@given(st.integers(1, 60))
def test_a_patch_that_is_cut_off_is_no_other_patch(length):
    data = diff.packed([(3, 300, b"x" * 20), (400, 1, b"y" * 40)])
    with pytest.raises(CorruptStateError):
        list(diff.unpacked(data[:length]))


class Kept:
    """What a store would have: in place of the state, and beside it."""

    def __init__(self):
        self.shadow, self.stored, self.beside, self.written = delta.Shadow("it"), b"", {}, 0

    def write(self, state):
        self.stored, beside = self.shadow.next(state)
        for name, value in beside.items():
            if value is None:
                self.beside.pop(name, None)
            else:
                self.beside[name] = value
                self.written += len(value)
        self.written += len(self.stored)

    def read(self):
        if not delta.is_delta(self.stored):
            return self.stored
        state, self.shadow = delta.Shadow.of("it", self.stored, self.beside)
        return state


@settings(max_examples=30, deadline=None)
@given(st.integers(), st.lists(st.tuples(edits, st.booleans()), max_size=60))
def test_what_is_stored_is_always_the_last_state(seed, history):
    state, kept = random.Random(seed).randbytes(40_000), Kept()
    for changes, is_taken_over in history:
        state = edited(state, changes)
        kept.write(state)
        shadow = kept.shadow
        assert kept.read() == state
        kept.shadow = kept.shadow if is_taken_over else shadow


def test_what_is_kept_and_read_stays_bounded_however_many_changes_there_were():
    chance = random.Random(7)
    state, kept = bytearray(chance.randbytes(1_000_000)), Kept()
    most = largest = 0
    for _ in range(8_000):
        place = chance.randrange(len(state) - 50)
        state[place : place + 50] = chance.randbytes(50)
        kept.write(bytes(state))
        most = max(most, len(kept.beside))
        largest = max(largest, sum(map(len, kept.beside.values())))
    assert kept.read() == bytes(state)
    assert most < 2 * 64 + 1
    assert largest < 1.3 * len(state)
    assert kept.written < 8_000 * (1_500 + 300) + 4 * len(state)


def test_a_state_that_gets_small_leaves_nothing_beside_it():
    kept = Kept()
    for state in (bytes(100_000), bytes(100_001), b"small"):
        kept.write(state)
    assert (kept.stored, kept.beside) == (b"small", {})


def test_after_a_write_that_may_not_have_happened_nothing_builds_on_it():
    kept, chance = Kept(), random.Random(1)
    state = chance.randbytes(100_000)
    kept.write(state)
    for _ in range(100):  # whatever was moved where
        state = edited(state, [(chance.random(), 3, chance.randbytes(60))])
        kept.shadow.next(state)
    kept.shadow.lose()
    kept.write(state)
    assert kept.read() == state


def test_what_is_not_of_one_moment_is_refused():
    kept, chance = Kept(), random.Random(1)
    state = chance.randbytes(300_000)
    moments = []
    for _ in range(1_500):
        state = edited(state, [(chance.random(), 3, chance.randbytes(60))])
        kept.write(state)
        moments.append((state, kept.stored, dict(kept.beside)))
    for _ in range(200):
        (state, stored, _), (_, _, beside) = chance.sample(moments, 2)
        try:
            assert delta.Shadow.of("it", stored, beside)[0] == state
        except CorruptStateError:
            continue


@given(
    st.recursive(
        st.binary() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_pickles_without_frames_are_the_same(value):
    large = [value, b"b" * 70_000, "t" * 70_000, [str(number) for number in range(5000)], bytearray(70_000)]
    for each in (value, large):
        assert pickle.loads(b"".join(unframed(pickle.dumps(each, 5)))) == each

"""Iterators of `itertools` go on where they stood, wherever that is."""

import copy
import itertools
import operator

import pytest

from durable_ast.state import snapshot
from tests.effects import step
from tests.everywhere import everywhere

MADE = [
    lambda: itertools.count(3, 2),
    lambda: itertools.count(7),
    lambda: itertools.count(2**70),
    lambda: itertools.count(1.5, 0.5),
    lambda: itertools.repeat("r", 4),
    lambda: itertools.repeat("r"),
    lambda: itertools.chain([1, 2], "xyz", range(3)),
    lambda: itertools.chain(),
    lambda: itertools.chain.from_iterable(iter([[1], [], [2, 3]])),
    lambda: itertools.cycle("abc"),
    lambda: itertools.cycle([]),
    lambda: itertools.compress("ABCDEFGH", [1, 0, 1, 1, 1, 1, 1]),
    lambda: itertools.dropwhile(abs, [1, 2, 0, 3, 4]),
    lambda: itertools.takewhile(abs, [3, 2, 1, 0, 5]),
    lambda: itertools.filterfalse(None, [0, 1, 0, 0, 2]),
    lambda: itertools.filterfalse(abs, [0, 1, 0, 0, 2]),
    lambda: itertools.starmap(pow, [(2, i) for i in range(5)]),
    lambda: itertools.islice(range(20), 1, None, 3),
    lambda: itertools.islice(range(20), 2, 9, 4),
    lambda: itertools.islice(range(20), 3),
    lambda: itertools.accumulate(range(1, 7), operator.mul, initial=1),
    lambda: itertools.accumulate(range(1, 9)),
    lambda: itertools.accumulate([], initial=5),
    lambda: itertools.zip_longest("ab", range(5), "", fillvalue="-"),
    lambda: itertools.zip_longest("ab", "c"),
    lambda: itertools.product("ab", range(3), "z"),
    lambda: itertools.product("ab", repeat=3),
    lambda: itertools.product(),
    lambda: itertools.product("ab", ""),
    lambda: itertools.permutations("abcd"),
    lambda: itertools.permutations("abcde", 3),
    lambda: itertools.permutations("abc", 0),
    lambda: itertools.permutations("ab", 3),
    lambda: itertools.combinations(range(6), 3),
    lambda: itertools.combinations("ab", 0),
    lambda: itertools.combinations("ab", 3),
    lambda: itertools.combinations_with_replacement("abcd", 3),
    lambda: itertools.combinations_with_replacement("", 2),
    lambda: itertools.tee(range(130))[0],
]


def saved(iterator):
    """What comes back, when that is saved again too."""
    return snapshot.loads(snapshot.dumps(snapshot.loads(snapshot.dumps(iterator))))


@pytest.mark.parametrize("make", MADE)
def test_the_same_items_are_left_from_every_position(make):
    for taken in range(65):
        original, beside = make(), make()
        left = sum(1 for _ in itertools.islice(beside, taken))
        list(itertools.islice(original, taken))
        again = saved(original)
        expected = list(itertools.islice(beside, 70))
        assert list(itertools.islice(again, 70)) == expected
        assert list(itertools.islice(original, 70)) == expected, "it is not changed by being saved"
        if left < taken:
            break


@pytest.mark.parametrize("taken", range(5))
def test_a_group_goes_on_with_its_groups(taken):
    def rest(pair):
        groups, group = pair
        return list(group), [(key, list(items)) for key, items in groups]

    def begun():
        groups = itertools.groupby("AAabBbC", key=str.lower)
        key, group = next(groups)
        return groups, group, key, list(itertools.islice(group, taken))

    groups, group, *_ = begun()
    assert rest(saved((groups, group))) == rest(begun()[:2])


def test_a_group_is_over_when_the_next_one_has_begun():
    groups = itertools.groupby("aab")
    _, first = next(groups)
    next(groups)
    assert list(saved(first)) == []
    assert [key for key, _ in saved(itertools.groupby([1, 1, 2]))] == [1, 2]


def test_iterators_of_one_tee_share_what_they_read():
    one, other = itertools.tee(iter(range(200)))
    list(itertools.islice(one, 120))
    next(other)
    one, other = saved((one, other))
    third = copy.copy(other)
    assert list(other) == list(third) == list(range(1, 200))
    assert list(one) == list(range(120, 200))


@everywhere()
async def test_groups_that_are_left_early():
    out = []
    for key, group in itertools.groupby([1, 1, 2, 2, 2, 3]):
        await step(("key", key))
        for item in group:
            out.append(await step(item))
            if key == 2:
                break
    return out


@everywhere()
async def test_steps_between_the_items_of_many_iterators():
    one, other = itertools.tee(itertools.accumulate(itertools.count(1)))
    out = []
    for pair in itertools.islice(zip(one, itertools.permutations("abc"), strict=False), 4):
        out.append(await step(pair))
        if len(out) % 2:
            out.append(next(other))
    return out, list(itertools.islice(other, 3))

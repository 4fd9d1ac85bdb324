"""Iterators of `itertools` in a snapshot: where each stands, and how it is made again there.

Since Python 3.14 pickle does not know them; before, what it saves of a `groupby` forgets the group, and
no other version can read it.  So where one stands is read from its memory, which is laid out alike in
all these versions, and it is made again by calls that all of them have.  Whether that gives the same
items is tried on an example before the first one of its type is saved.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .groups import Group, Groups, Nothing
from .memory import Words, words_of
from .snapshot import Reduced, register
from .tees import Link, Tee

_IS_KNOWN = sys.version_info < (3, 15)
"""Whether we have seen how this Python lays them out."""

_UNLIMITED = -1
"""The end of an `islice` that has none."""


def register_all() -> None:
    """Let snapshots save these."""
    for kind in _WAYS:
        register(kind, _reduce)


def _reduce(iterator: Any) -> Reduced:
    kind: type = type(iterator)
    return _WAYS[kind](words_of(iterator)) if _IS_KNOWN and _is_as_known(kind) else NotImplemented


@functools.cache
def _is_as_known(kind: type) -> bool:
    """Whether an example that has begun, and what is made again of it, give the same."""
    example = _EXAMPLES.get(kind)
    if example is None:
        return True
    begun, same = example(), example()
    next(begun), next(same)
    make, args = _WAYS[kind](words_of(begun))
    return list(itertools.islice(make(*args), 4)) == list(itertools.islice(same, 4))


# what goes on as it would if it was made of what is left


def _count(words: Words) -> Reduced:
    number = words.optional(1)
    return (itertools.count, (words.number(0),)) if number is None else (itertools.count, (number, words.object(2)))


def _repeat(words: Words) -> Reduced:
    times = words.number(1)
    return itertools.repeat, (words.object(0),) if times < 0 else (words.object(0), times)


def _chain(words: Words) -> Reduced:
    return _chained, (words.optional(1, ()), words.optional(0, ()))


def _chained(active: Any, source: Any) -> Any:
    return itertools.chain.from_iterable(itertools.chain((active,), source))


def _cycle(words: Words) -> Reduced:
    inner, saved, index = words.optional(0), words.object(1), words.number(2)
    return _cycled, (list(saved), index, inner)


def _cycled(saved: list[Any], index: int, inner: Any) -> Any:
    if inner is None:
        return itertools.cycle([*saved[index:], *saved[:index]])
    return _advanced(itertools.cycle, (itertools.chain(saved, inner),), {}, len(saved))


def _compress(words: Words) -> Reduced:
    return itertools.compress, (words.object(0), words.object(1))


def _dropwhile(words: Words) -> Reduced:
    return itertools.dropwhile, (_never if words.flag(2) else words.object(0), words.object(1))


def _never(value: object) -> bool:
    return False


def _takewhile(words: Words) -> Reduced:
    return itertools.takewhile, (words.object(0), () if words.flag(2) else words.object(1))


def _filterfalse(words: Words) -> Reduced:
    return itertools.filterfalse, (words.optional(0), words.object(1))


def _starmap(words: Words) -> Reduced:
    return itertools.starmap, (words.object(0), words.object(1))


def _islice(words: Words) -> Reduced:
    following, stop, step, taken = map(words.number, range(1, 5))
    end = None if stop == _UNLIMITED else stop - taken
    return itertools.islice, (words.optional(0, ()), following - taken, end, step)


def _accumulate(words: Words) -> Reduced:
    total, inner, function, initial = words.optional(0), words.object(1), words.optional(2), words.optional(3)
    return _accumulated, (inner, function, initial if total is None else total, total is not None)


def _accumulated(inner: Any, function: Any, initial: Any, is_begun: bool) -> Any:
    return _advanced(itertools.accumulate, (inner, function), {"initial": initial}, int(is_begun))


def _zip_longest(words: Words) -> Reduced:
    inner = words_of(words.object(2))
    return _zipped, ([inner.optional(i, ()) for i in range(words.number(0))], words.optional(4))


def _zipped(inner: list[Any], fill: Any) -> Any:
    return itertools.zip_longest(*inner, fillvalue=fill)


# what is made anew and has given so many


def _product(words: Words) -> Reduced:
    pools = words.object(0)

    def place() -> int:
        found = 0
        for pool, index in zip(pools, words.numbers(1, len(pools)), strict=True):
            found = found * len(pool) + index
        return found

    return _nth(words, 2, 3, itertools.product, pools, place)


def _permutations(words: Words) -> Reduced:
    pool, length = words.object(0), words.number(4)

    def place() -> int:
        found, left = 0, list(range(len(pool)))
        for taken, index in enumerate(words.numbers(1, len(pool))[:length], 1):
            found += left.index(index) * math.perm(len(pool) - taken, length - taken)
            left.remove(index)
        return found

    return _nth(words, 3, 5, itertools.permutations, (pool, length), place)


def _combinations(words: Words) -> Reduced:
    pool, length = words.object(0), words.number(3)
    return _nth(
        words, 2, 4, itertools.combinations, (pool, length), lambda: _place(words.numbers(1, length), len(pool))
    )


def _with_replacement(words: Words) -> Reduced:
    pool, length = words.object(0), words.number(3)

    def place() -> int:
        indices = [index + i for i, index in enumerate(words.numbers(1, length))]
        return _place(indices, len(pool) + length - 1)

    return _nth(words, 2, 4, itertools.combinations_with_replacement, (pool, length), place)


def _place(indices: Sequence[int], count: int) -> int:
    """How many combinations of `count` things come before this one."""
    if not indices:
        return 0
    length = len(indices)
    after = sum(math.comb(count - 1 - index, length - i) for i, index in enumerate(indices))
    return math.comb(count, length) - 1 - after


def _nth(
    words: Words, result: int, stopped: int, kind: type, args: tuple[Any, ...], place: Callable[[], int]
) -> Reduced:
    """One whose last item was that in a place; none, if it has no `result` yet."""
    if words.flag(stopped):
        return _ended, (kind,)
    return _advanced, (kind, args, {}, 0 if words.optional(result) is None else place() + 1)


def _ended(kind: type) -> Any:
    return kind(()) if kind is itertools.product else kind((), 1)


def _advanced(kind: Callable[..., Iterator[Any]], args: tuple[Any, ...], options: dict[str, Any], count: int) -> Any:
    made = kind(*args, **options)
    deque(itertools.islice(made, count), maxlen=0)
    return made


# what shares with others


def _groupby(words: Words) -> Reduced:
    return Groups, (words.object(0), words.optional(1), *(words.optional(i, Nothing) for i in range(2, 5)))


def _group(words: Words) -> Reduced:
    parent = words.object(0)
    return Group, (parent, words.object(1), words_of(parent).word(5) == words.owner)


def _tee(words: Words) -> Reduced:
    return Tee, (words.object(0), words.integer(1))


def _tee_link(words: Words) -> Reduced:
    count = words.integer(1)
    return Link, (words.object(0), [words.object(3 + i) for i in range(count)], words.optional(2))


_WAYS: dict[type, Callable[[Words], Reduced]] = {
    itertools.count: _count,
    itertools.repeat: _repeat,
    itertools.chain: _chain,
    itertools.cycle: _cycle,
    itertools.compress: _compress,
    itertools.dropwhile: _dropwhile,
    itertools.takewhile: _takewhile,
    itertools.filterfalse: _filterfalse,
    itertools.starmap: _starmap,
    itertools.islice: _islice,
    itertools.accumulate: _accumulate,
    itertools.zip_longest: _zip_longest,
    itertools.product: _product,
    itertools.permutations: _permutations,
    itertools.combinations: _combinations,
    itertools.combinations_with_replacement: _with_replacement,
    itertools.groupby: _groupby,
    type(next(itertools.groupby("a"))[1]): _group,
    type(itertools.tee("")[0]): _tee,
    itertools._tee_dataobject: _tee_link,  # type: ignore[attr-defined]
}

_EXAMPLES: dict[type, Callable[[], Iterator[Any]]] = {
    itertools.count: lambda: itertools.count(3, 4),
    itertools.repeat: lambda: itertools.repeat("a", 3),
    itertools.chain: lambda: itertools.chain("ab", "c"),
    itertools.cycle: lambda: itertools.cycle("abc"),
    itertools.compress: lambda: itertools.compress("abcd", (1, 0, 1, 1)),
    itertools.dropwhile: lambda: itertools.dropwhile(operator.not_, (0, 1, 0, 2)),
    itertools.takewhile: lambda: itertools.takewhile(operator.truth, (1, 2, 0, 3)),
    itertools.filterfalse: lambda: itertools.filterfalse(None, (0, 1, "", 2, ())),
    itertools.starmap: lambda: itertools.starmap(pow, ((2, 3), (3, 2), (1, 1))),
    itertools.islice: lambda: itertools.islice("abcdefgh", 1, 7, 2),
    itertools.accumulate: lambda: itertools.accumulate((1, 2, 3), operator.mul, initial=2),
    itertools.zip_longest: lambda: itertools.zip_longest("a", "bc", fillvalue="-"),
    itertools.product: lambda: itertools.product("ab", "cd"),
    itertools.permutations: lambda: itertools.permutations("abc", 2),
    itertools.combinations: lambda: itertools.combinations("abcd", 2),
    itertools.combinations_with_replacement: lambda: itertools.combinations_with_replacement("abc", 2),
}

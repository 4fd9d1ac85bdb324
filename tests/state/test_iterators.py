"""Iterators that not every Python has, or that pickle does not know."""

import itertools
import pickle
import sys

import pytest

from durable_ast.state import iterators, snapshot
from tests.effects import step
from tests.everywhere import everywhere

HAS_BATCHES = pytest.mark.skipif(sys.version_info < (3, 12), reason="itertools.batched is new in Python 3.12")


@HAS_BATCHES
@everywhere()
async def test_batches():
    batches, ended = itertools.batched(iter(range(8)), 3), itertools.batched("", 2)
    out = [next(batches), list(ended)]
    await step(1)
    out += [next(batches), list(ended)]
    await step(2)
    out += [list(batches), list(batches)]
    await step(3)
    return [*out, list(batches)]


@pytest.mark.skipif(sys.version_info < (3, 13), reason="batched(strict=True) is new in Python 3.13")
def test_strict_batches_stay_strict():
    batches = snapshot.loads(snapshot.dumps(itertools.batched("abc", 2, strict=True)))
    assert next(batches) == ("a", "b")
    with pytest.raises(ValueError, match="incomplete batch"):
        next(batches)


def test_a_python_without_batches_gives_them_all_the_same(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 11))
    batches = iterators._batches(iter("abcde"), 2, False)
    assert next(batches) == ("a", "b")
    assert list(pickle.loads(pickle.dumps(batches))) == [("c", "d"), ("e",)]
    strict = iterators._batches("abc", 2, True)
    assert next(strict) == ("a", "b")
    with pytest.raises(ValueError, match="incomplete batch"):
        next(strict)

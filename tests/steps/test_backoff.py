"""Backoffs: what they give, and what they refuse."""

import math
import pickle

import pytest

from durable_ast.backoff import constant, exponential, jitter, linear


def test_exponential_grows_up_to_its_maximum():
    assert [exponential()(retry) for retry in range(7)] == [2, 4, 8, 16, 32, 60, 60]
    assert [exponential(base=3)(retry) for retry in range(3)] == [3, 9, 27]
    assert [exponential(1, max=5, factor=1.5)(retry) for retry in range(3)] == [1, 1.5, 2.25]


@pytest.mark.parametrize("attempt", [1025, 5000, 10**9])
def test_exponential_does_not_overflow(attempt):
    assert exponential()(attempt) == 60.0
    assert exponential(base=0)(attempt) == 0.0


def test_linear_and_constant():
    assert [linear(2, 3)(attempt) for attempt in (0, 1, 2)] == [2, 5, 8]
    assert [constant(0.5)(attempt) for attempt in (1, 100)] == [0.5, 0.5]


@pytest.mark.parametrize("ratio", [0, 0.25, 1])
def test_jitter_shortens_within_its_ratio(ratio):
    delays = [jitter(constant(8), ratio)(1) for _ in range(200)]
    assert all(8 * (1 - ratio) <= delay <= 8 for delay in delays)
    assert (len(set(delays)) > 1) == (ratio > 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: exponential(base=-1),
        lambda: exponential(max=-1),
        lambda: exponential(factor=-2),
        lambda: exponential(base=math.nan),
        lambda: exponential(max=math.inf),
        lambda: linear(start=-1),
        lambda: linear(step=-0.1),
        lambda: constant(-1),
        lambda: jitter(constant(1), 1.5),
        lambda: jitter(constant(1), -0.1),
    ],
)
def test_nonsense_is_refused(make):
    with pytest.raises(ValueError, match=r"^\w+\(\): \w+ must be"):
        make()


def test_backoffs_are_values():
    backoff = jitter(exponential(base=2))
    assert backoff == jitter(exponential(base=2)) == pickle.loads(pickle.dumps(backoff))
    assert backoff != jitter(exponential(base=3))

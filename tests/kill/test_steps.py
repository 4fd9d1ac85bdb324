"""Steps that are killed while they run: what has finished inside stays, attempts go on being counted."""

import collections
import time

import pytest

from .harness import Killer, wait_until
from .programs import STEPS_OF_STEPS
from .test_kill import run_killed


@pytest.fixture
def killer(tmp_path):
    return Killer(tmp_path)


def test_kills_inside_of_steps(killer):
    run_killed(killer, "steps_of_steps", 12, STEPS_OF_STEPS)
    assert killer.result("it") == [number * number for number in range(STEPS_OF_STEPS)]
    ran = collections.Counter(number for _, number in killer.steps())
    assert set(ran) == set(range(STEPS_OF_STEPS))
    at_once = 6
    assert ran.total() - STEPS_OF_STEPS <= killer.kills * at_once


def test_attempts_and_keys_survive(killer):
    run_killed(killer, "steps_of_steps", 12, STEPS_OF_STEPS)
    attempts = collections.defaultdict(list)
    keys = collections.defaultdict(set)
    for _, kind, *words in killer.lines():
        if kind == "attempt":
            number, attempt, key = " ".join(words).split()
            attempts[number].append(int(attempt))
            keys[number].add(key)
    assert len(attempts) == STEPS_OF_STEPS // 13
    for number, made in attempts.items():
        assert made == sorted(made) and set(made) == {1, 2, 3}, "an attempt was forgotten"
        assert len(keys[number]) == 1, "another key for the same call"
    assert sum(map(len, attempts.values())) <= 3 * len(attempts) + killer.kills
    assert len(set.union(*keys.values())) == len(keys), "one key for two calls"


def attempts(killer):
    return [(int(pid), *words) for pid, kind, *words in killer.lines() if kind == "attempt"]


def test_the_time_of_all_attempts_goes_on_while_no_process_is_there(killer):
    process = killer.start("run", "gives_up", "it")
    wait_until(lambda: len(attempts(killer)) >= 3)
    assert killer.kill(process)
    made = attempts(killer)
    time.sleep(2)
    killer.finish(killer.start("run", "gives_up", "it"))
    assert attempts(killer) == made, "an attempt was begun after the time of all was over"
    assert killer.result("it") == "TimeoutError"


def test_an_attempt_is_made_when_it_is_due_and_not_before(killer):
    process = killer.start("run", "tries_later", "it")
    wait_until(lambda: len(attempts(killer)) == 1)
    for _ in range(3):
        killer.pause(0.3)
        assert killer.kill(process)
        process = killer.start("run", "tries_later", "it")
    killer.finish(process)
    assert killer.result("it") == 2
    *before, second = [(int(attempt), float(made)) for _, attempt, made in attempts(killer)]
    assert {attempt for attempt, _ in before} == {1} and second[0] == 2
    assert second[1] >= before[-1][1] + 1.5

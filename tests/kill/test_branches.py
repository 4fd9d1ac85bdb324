"""Branches whose process is killed: each goes on where it stood, in whichever process."""

import asyncio
import time

import pytest

from durable_ast import DurableBackend, open_store
from durable_ast.runtime.handle import InstanceHandle

from .branches import LENGTH, WIDTH
from .harness import Killer, repeats, wait_until


@pytest.fixture
def killer(tmp_path):
    return Killer(tmp_path)


def steps_of(killer: Killer, number: int) -> list[tuple[int, int]]:
    """The steps of one branch, from 0."""
    return [(pid, step % LENGTH) for pid, step in killer.steps() if step // LENGTH == number]


def run_killed(killer: Killer, name: str, kills: int, lines: int) -> None:
    """Kill a program that often, after some lines of its log each time, if it lasts that long."""
    while killer.kills < kills:
        process = killer.start("run", name, "it")
        killer.wait_for_lines(process, killer.chance.randint(0, lines))
        killer.pause(0.004)
        if not killer.kill(process):
            return
    killer.finish(killer.start("run", name, "it"))


def test_twenty_branches_of_twenty_steps(killer):
    run_killed(killer, "lanes", 20, 2 * WIDTH * LENGTH // 40)
    for number in range(WIDTH):
        steps = steps_of(killer, number)
        assert repeats(steps) <= killer.kills
        assert {step for _, step in steps} == set(range(LENGTH))
    totals, results = killer.result("it")
    assert results == list(range(WIDTH))
    assert sum(totals) == sum(number * number for number in range(WIDTH * LENGTH))


def test_a_group_whose_third_member_fails(killer):
    run_killed(killer, "group", 12, 12)
    assert killer.result("it") == "(LookupError('the third'),)"
    for number in (0, 1):
        steps = [step for _, step in steps_of(killer, number)]
        cleanup = [step for step in steps if step >= LENGTH - 2]
        assert steps[-1] == LENGTH - 1, "it was not cleaned up"
        assert cleanup.count(LENGTH - 2) <= 1 + killer.kills
        assert steps[: len(steps) - len(cleanup)] == [step for step in steps if step < LENGTH - 2], "it went on"
    assert {step for _, step in steps_of(killer, 2)} == set(range(5))


def test_a_timeout_that_is_over_while_no_process_is_there(killer):
    process = killer.start("run", "late", "it")
    wait_until(lambda: len(killer.steps()) == 2)
    killer.pause(0.02)
    assert killer.kill(process)
    time.sleep(2)
    killer.finish(killer.start("run", "late", "it"))  # it does not wait for what is over
    assert killer.result("it") == "timeout"
    assert [number for _, number in killer.steps()] in ([0, 1, 2], [0, 1, 1, 2])


def test_branches_inside_of_connections(killer):
    run_killed(killer, "connected", 12, 24)
    for number in range(6):
        steps = steps_of(killer, number)
        assert repeats(steps) <= killer.kills
        assert {step for _, step in steps} == set(range(LENGTH))
    totals, results = killer.result("it")
    assert results == list(range(6))
    assert sum(totals) == sum(number * number for number in range(6 * LENGTH))


def test_connections_that_an_object_holds(killer):
    run_killed(killer, "exchanged", 12, 16)
    for number in range(4):
        steps = steps_of(killer, number)
        assert repeats(steps) <= killer.kills
        assert {step for _, step in steps} == set(range(LENGTH))
    totals, seen = killer.result("it")
    assert seen == list(range(4))
    assert sum(totals) == sum(number * number for number in range(4 * LENGTH))


def test_a_cancel_from_outside_and_kills_while_it_cleans_up(killer):
    process = killer.start("run", "cleaning", "it")
    wait_until(lambda: sum(kind == "waiting" for _, kind, *_ in killer.lines()) == 3)
    handle = InstanceHandle(DurableBackend(open_store(killer.store)), "it")
    asyncio.run(handle.cancel())
    wait_until(lambda: len(killer.steps()) > 5)
    while killer.kill(process) and killer.kills < 10:
        process = killer.start("run", "cleaning", "it")
        killer.wait_for_lines(process, killer.chance.randint(0, 8))
        killer.pause(0.004)
    with killer.start("run", "cleaning", "it") as last:
        assert last.wait(60) != 0, "the instance was cancelled"
    for number in range(3):
        steps = steps_of(killer, number)
        assert repeats(steps) <= killer.kills
        assert {step for _, step in steps} == set(range(LENGTH)), "it did not go on cleaning up"

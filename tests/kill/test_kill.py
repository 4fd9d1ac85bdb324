"""Whatever the moment of a kill: the right result, no finished step again, at most one repeated."""

import pytest

from durable_ast import DurableBackend, SQLiteStore

from .harness import Killer, repeats, wait_until
from .programs import STEPS


@pytest.fixture
def killer(tmp_path):
    return Killer(tmp_path)


def run_killed(killer: Killer, name: str, kills: int, steps: int) -> None:
    """Run a program of so many steps to its end, killed that often, at random moments."""
    while killer.kills < kills:
        process = killer.start("run", name, "it")
        left = steps - len({number for _, number in killer.steps()})
        killer.wait_for_lines(process, killer.chance.randint(0, left // (kills - killer.kills)))
        killer.pause(0.004)
        assert killer.kill(process), "it ended before it was killed often enough"
    killer.finish(killer.start("run", name, "it"))


def test_fifty_kills(killer):
    run_killed(killer, "tour", 50, STEPS)
    steps = killer.steps()
    assert repeats(steps) <= killer.kills
    assert {number for _, number in steps} == set(range(STEPS))
    total, seen = killer.result("it")
    assert total == sum(number * number for number in range(STEPS))
    assert seen == [first + offset for first in range(0, STEPS, 10) for offset in (0, 2, 4, 9)]


def test_kills_in_finally(killer):
    run_killed(killer, "clean_up", 8, 60)
    assert repeats(killer.steps()) <= killer.kills
    assert killer.result("it") == "LookupError('the reason')"
    entered = sum(kind == "finally" for _, kind, *_ in killer.lines())
    assert entered <= sum(number <= 1 for _, number in killer.steps()), "a finished step did not keep it"


def test_kills_during_pauses(killer):
    """Waiting and sleeping; the events come while no process is there."""
    publisher = DurableBackend(SQLiteStore(killer.store))
    for number in range(8):
        for kind in ("waiting", "sleeping"):
            process = killer.start("run", "patient", "it")
            wait_until(lambda kind=kind, number=number: [kind, str(number)] in [line[1:] for line in killer.lines()])
            killer.pause(0.02)
            assert killer.kill(process)
            if kind == "waiting":
                publisher.publish_event("it", "answer", [number, None])
    killer.finish(killer.start("run", "patient", "it"))
    assert repeats(killer.steps()) <= killer.kills == 16
    assert killer.result("it") == [[number, None] for number in range(8)]


def test_kills_at_the_first_checkpoint(killer):
    """Each process goes on with all instances, and begins some more."""
    for count in range(4, 44, 4):
        process = killer.start("crowd", count)
        killer.pause(0.04)
        assert killer.kill(process)
    killer.finish(killer.start("crowd", count))
    for number in range(count):
        own = [(pid, step - 3 * number) for pid, step in killer.steps() if step // 3 == number]
        assert repeats(own) <= killer.kills
        assert {step for _, step in own} == {0, 1, 2}
        assert killer.result(f"short-{number}") == sum((3 * number + index) ** 2 for index in range(3))


def test_kills_during_publish_event(killer):
    """What was reported as stored arrives: once, and in order; receiver and publisher both die."""
    for _ in range(6):
        collector = killer.start("run", "collect", "it")
        publisher = killer.start("publish", "it")  # last: while another process starts, it would publish thousands
        killer.wait_for_lines(publisher, killer.chance.randint(1, 5))
        killer.pause(0.01)
        assert killer.kill(publisher)
        assert killer.kill(collector)
    DurableBackend(SQLiteStore(killer.store)).publish_event("it", "letter", None)
    killer.finish(killer.start("run", "collect", "it"))
    stored = [words[0] for _, kind, *words in killer.lines() if kind == "stored"]
    received = killer.result("it")
    assert [letter for letter in received if letter in set(stored)] == stored
    assert len(received) == len(set(received)) <= len(stored) + 6
    assert [number for _, number in killer.steps()][-1] == len(received)
    assert repeats([(pid, number - 1) for pid, number in killer.steps()]) <= killer.kills


def test_kills_with_relaxed_durability(killer):
    """A crash may repeat some steps, a bounded number; the result is right nevertheless."""
    run_killed(killer, "relaxed_tour", 12, STEPS)
    repeats(killer.steps(), most=32)
    total, seen = killer.result("it")
    assert total == sum(number * number for number in range(STEPS))
    assert seen == [first + offset for first in range(0, STEPS, 10) for offset in (0, 2, 4, 9)]


def test_kills_with_checkpoints_at_pauses_only(killer):
    """A crash repeats what came after the last pause, and nothing before it."""
    run_killed(killer, "paused_tour", 12, STEPS // 2)
    repeats(killer.steps(), most=10)
    assert killer.result("it") == sum(number * number for number in range(STEPS // 2))

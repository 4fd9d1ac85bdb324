"""The log of effects, and what must not be found in it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from .programs import STEPS


@dataclass(frozen=True)
class Effect:
    """A step that began."""

    pid: int
    instance: int
    arm: str
    step: int


def effects(log: Path) -> list[Effect]:
    """The lines of a log."""
    found = []
    for line in log.read_text().splitlines():
        pid, instance, arm, step = line.split()
        found.append(Effect(int(pid), int(instance), arm, int(step)))
    return found


def check(log: list[Effect], instances: int, disruptions: int, stopped: set[int]) -> int:
    """How many steps began more than once.

    Args:
        log: the effects, in their order.
        instances: how many instances there were.
        disruptions: how often a process or server was killed, stopped or cut off.
        stopped: the processes that were stopped for a while: each may have begun a step when it was
            the owner, and have logged it when it was no longer.

    Raises:
        AssertionError: a step is missing; one that had been checkpointed ran again; or one ran more
            often than there were disruptions.
    """
    expected = [("main", step) for step in range(STEPS)] + [(arm, step) for arm in ("left", "right") for step in (0, 1)]
    begun: dict[int, dict[tuple[str, int], int]] = defaultdict(lambda: defaultdict(int))
    latest: dict[tuple[int, str], int] = defaultdict(lambda: -1)
    for effect in log:
        place = effect.instance, effect.arm
        if effect.pid not in stopped:
            assert effect.step >= latest[place], f"{effect} ran after step {latest[place]} had begun"
            assert effect.step <= latest[place] + 1, f"{effect} ran, but no step between it and {latest[place]}"
        latest[place] = max(latest[place], effect.step)
        begun[effect.instance][effect.arm, effect.step] += 1
    repeated = 0
    for instance in range(instances):
        steps = begun[instance]
        assert set(steps) == set(expected), f"instance {instance} ran {sorted(steps)}"
        worst = max(steps.values()) - 1
        assert worst <= disruptions, f"a step of instance {instance} ran {worst + 1} times in {disruptions} disruptions"
        repeated += sum(count - 1 for count in steps.values())
    return repeated

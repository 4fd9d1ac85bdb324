"""What a run through many deaths has come to, beside what it should be."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby, zip_longest


@dataclass
class Outcome:
    """The facts of one run.

    Attributes:
        pids: the processes it took, in order.
        kills: how many of them were killed.
        killed_waiting: whether one was killed while it waited for the approval.
        result: what the last one returned.
        expected: what the plain function returns.
        once: how many steps ran once.
        repeated: the steps that ran again after a kill, once for each time.
        stray: a step that was missed, or that ran where it should not have.
    """

    pids: list[int] = field(default_factory=list)
    kills: int = 0
    killed_waiting: bool = False
    result: object = None
    expected: object = None
    once: int = 0
    repeated: list[str] = field(default_factory=list)
    stray: str | None = None

    def born(self, pid: int) -> None:
        """A process has started; it is another one than the last."""
        assert not self.pids or self.pids[-1] != pid
        self.pids.append(pid)

    def died(self, waiting: bool) -> None:
        """A process was killed."""
        self.kills += 1
        self.killed_waiting |= waiting

    def compare(self, expected: object, wanted: list[str], happened: list[str]) -> None:
        """Hold the traces of the run against those of the plain function.

        No two steps in a row of the plain function are alike, so a step that stands in the traces
        several times in a row is one that has run again.
        """
        self.expected = expected
        runs = [(step, len(list(run))) for step, run in groupby(happened)]
        for step, should in zip_longest((step for step, _ in runs), wanted):
            if step != should:
                self.stray = should or step
                return
        self.once = sum(count == 1 for _, count in runs)
        self.repeated = [step for step, count in runs for _ in range(count - 1)]

    @property
    def holds(self) -> bool:
        """Whether it is what durability promises."""
        return self.result == self.expected and self.stray is None and len(self.repeated) <= self.kills

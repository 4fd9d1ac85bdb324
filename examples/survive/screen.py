"""What the demonstration shows: a live picture in a terminal, a line for each death elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from durable_ast.inspection.view import FrameView, InstanceView

from .outcome import Outcome

_AROUND = 4
"""Lines shown on either side of the cursor."""


class Scene:
    """The output of the demonstration.

    Args:
        traces: the file that every step leaves a line in.
        steps: the steps there are to do.
        console: where to write.
        live: the picture to keep up to date, in a terminal.
    """

    def __init__(self, traces: Path, steps: list[str], console: Console, live: Live | None) -> None:
        self._traces = traces
        self._steps = steps
        self._console = console
        self._live = live
        self._view: InstanceView | None = None
        self._history: list[Text] = []

    def shows(self, view: InstanceView | None, pid: int, kills: int) -> None:
        """The instance has been looked at."""
        self._view = view if view is not None and view.frames else self._view
        if self._live is not None:
            self._live.update(self._picture(pid, kills), refresh=True)

    def killed(self, pid: int, kills: int) -> None:
        """A process is dead."""
        where = " < ".join(_point(frame) for frame in reversed(self._view.frames)) if self._view else "before it began"
        text = Text.assemble((f"kill {kills:>3}", "bold red"), f"  pid {pid:<7}  {self._done():>3}/{len(self._steps)}")
        self._say(text.append("  ").append(where, "bright_black"))

    def says(self, text: str) -> None:
        """Something else has happened."""
        self._say(Text(f"          {text}", "yellow"))

    def _say(self, text: Text) -> None:
        self._history.append(text)
        if self._live is None:
            self._console.print(text, soft_wrap=True)

    def _done(self) -> int:
        """How many steps are done, those that ran twice counted once."""
        return sum(1 for _ in groupby(self._traces.read_text().splitlines()))

    def _picture(self, pid: int, kills: int) -> RenderableType:
        done = self._done()
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(f"pid {pid}", "cyan"),
            Text(f"{kills} killed", "bold red"),
            ProgressBar(total=len(self._steps), completed=done, width=40),
            Text(f"{done}/{len(self._steps)} steps"),
        )
        parts: list[RenderableType] = [head, *self._history[-4:]]
        if self._view is not None:
            for frame in self._view.frames[:-1]:
                parts.append(Text.assemble("  ", (_point(frame), "bold"), f"  await {frame.place.awaited}"))
            parts += _innermost(self._view.frames[-1])
            parts.append(Text(f"  {self._view.doing}", "yellow"))
        return Group(*parts)

    def ends(self, outcome: Outcome) -> None:
        """Show what it has come to."""
        if self._live is not None:
            self._live.update(Group(*self._history), refresh=True)
            self._live.stop()
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bright_black")
        table.add_row("killed", f"{outcome.kills} times by SIGKILL, in {len(outcome.pids)} processes")
        table.add_row("steps", _steps(outcome, len(self._steps)))
        if outcome.repeated:
            table.add_row("again", ", ".join(outcome.repeated))
        table.add_row("result", str(outcome.result))
        same = outcome.result == outcome.expected
        table.add_row("plain", Text("the same" if same else str(outcome.expected), "green" if same else "bold red"))
        self._console.print(Rule(style="bright_black"), table)
        verdict = Text("survived", "bold green") if outcome.holds else Text("NOT what was promised", "bold red")
        self._console.print(verdict)


def _steps(outcome: Outcome, count: int) -> str:
    if outcome.stray is not None:
        return f"{outcome.stray!r} was missed, or ran where it should not have"
    return f"{count} done: {outcome.once} ran once, {count - outcome.once} again after a kill in their middle"


def _point(frame: FrameView) -> str:
    line = "" if frame.place.cursor is None else f":{frame.place.cursor[0]}"
    return f"{frame.place.function}{line}"


def _innermost(frame: FrameView) -> list[RenderableType]:
    place = frame.place
    if place.cursor is None:
        return [Text(f"  {place.function}: {place.note}")]
    first = max(place.first_line, place.cursor[0] - _AROUND)
    lines = place.text[first - place.first_line : place.cursor[1] + _AROUND - place.first_line + 1]
    source = Syntax(
        "\n".join(lines), "python", theme="ansi_dark", background_color="default",
        line_numbers=True, start_line=first, highlight_lines=set(range(place.cursor[0], place.cursor[1] + 1)),
    )  # fmt: skip
    values = Table.grid(padding=(0, 2))
    for variable in frame.variables:
        text = variable.text
        values.add_row(Text(f"    {variable.name}", "blue"), text if len(text) < 70 else text[:67] + "...")
    return [Rule(Text(_point(frame), "bold"), align="left", style="bright_black"), source, values]


@contextmanager
def screen(traces: Path, steps: list[str]) -> Iterator[Scene]:
    """The output for wherever this runs."""
    console = Console(highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        yield Scene(traces, steps, Console(highlight=False, emoji=False, markup=False, width=120), None)
        return
    with Live(console=console, auto_refresh=False, transient=False) as live:
        yield Scene(traces, steps, console, live)

"""What there is to see of an instance: the facts that the command line and the web page show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..state import snapshot
from ..state.schema import Record, Status
from .doing import doing, phrase
from .inert import unpickler
from .places import Place, place_of
from .shapes import Text
from .stacks import Saved, Stack

_LIBRARY = f"{__name__.partition('.')[0]}."


@dataclass(frozen=True, slots=True)
class Variable:
    """A live local.

    Attributes:
        name: its name.
        value: its value; a `Shape` or `Text` where it is no plain data.
    """

    name: str
    value: Any

    @property
    def type(self) -> str:
        """The name of its type."""
        return self.value.kind if isinstance(self.value, Text) else type(self.value).__qualname__

    @property
    def text(self) -> str:
        """Its value, as `repr` shows it."""
        return repr(self.value)


@dataclass(frozen=True, slots=True)
class FrameView:
    """One live call: where it stands, and what it has in its locals."""

    place: Place
    block: int
    variables: tuple[Variable, ...]


@dataclass(frozen=True, slots=True)
class BranchView:
    """One of the concurrent call stacks of an instance, beside its first.

    Attributes:
        number: which branch of the instance it is.
        name: the name of its task.
        doing: what it does or waits for, as a phrase.
        frames: its live calls, outermost first.
    """

    number: int
    name: str
    doing: str
    frames: tuple[FrameView, ...]


@dataclass(frozen=True, slots=True)
class InstanceView:
    """One instance as of its last checkpoint.

    Attributes:
        record: what the store keeps.
        doing: what it does or waits for, as a phrase.
        frames: its live calls, outermost first; those of its own function, if it has branches.
        branches: those that have not ended.
        result: its result, if it has ended well.
        error: the text of its error, with the user's lines, if it has ended with one.
        note: why the frames are missing, if they are.
    """

    record: Record
    doing: str
    frames: tuple[FrameView, ...] = ()
    branches: tuple[BranchView, ...] = ()
    result: Variable | None = None
    error: str | None = None
    note: str | None = None


def view_of(saved: Saved, folders: Sequence[str] | None = None) -> InstanceView:
    """An instance to look at; nothing of it is run, and none of its modules is imported.

    Args:
        saved: what a store keeps of it.
        folders: where to look for the text of its functions; `sys.path` if None.
    """
    record = saved.record
    try:
        root, *others = saved.stacks()
        frames = _frames(root, saved, folders)
        branches = tuple(
            BranchView(other.number, other.name, phrase(other.calls.waiting), _frames(other, saved, folders))
            for other in others
        )
        result = _result(record)
    except Exception as error:  # whatever a damaged pickle raises
        note = f"the checkpoint cannot be read: {error}; if it was written with a key, set DURABLE_AST_KEY"
        return InstanceView(record, doing(record), error=record.error, note=note)
    return InstanceView(record, doing(record, root.calls.waiting), frames, branches, result, record.error)


def _result(record: Record) -> Variable | None:
    if record.status is not Status.SUCCESS or record.outcome is None:
        return None
    (_, value), _ = snapshot.loads_with_cells(record.outcome, unpickler)
    return Variable("result", value)


def _frames(stack: Stack, saved: Saved, folders: Sequence[str] | None) -> tuple[FrameView, ...]:
    return tuple(
        FrameView(
            place_of(call.ref, call.block, saved.texts, folders),
            call.block,
            tuple(Variable(name, value) for name, value in call.visible_locals().items()),
        )
        for call in stack.calls
        if not call.key.module.startswith(_LIBRARY)  # what it puts in the place of asyncio's functions
    )

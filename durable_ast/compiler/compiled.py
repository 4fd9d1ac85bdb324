"""A compiled function: what the runtime, `explain` and the version check read.

Nothing here compiles or runs anything.  What only people and twins need, the lowered form, is made
again when it is asked for: a function that was compiled by an earlier process is not compiled in this one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import CodeType
from typing import TYPE_CHECKING

from .kinds import Flavour, PointKind
from .source import FunctionKey, FunctionSource

if TYPE_CHECKING:
    from .constructs import Around
    from .lowered import Lowered


@dataclass(frozen=True, slots=True)
class Live:
    """The variables of a function at one point.

    Attributes:
        locals: those that are saved.
        cells: the shared ones that the function itself may read.
        spare_cells: the other shared ones: saved only if another function that is saved has them.
    """

    locals: tuple[str, ...]
    cells: tuple[str, ...]
    spare_cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Manager:
    """One entered manager.

    Attributes:
        name: the local that holds it.
        entered: the local that holds what ``__enter__`` gave, if that was wanted.
        targets: the locals that this was given to at once, each with the way there: none if it was
            given whole, the places in the tuples if it was unpacked.
        reads: the names that its expression reads.
        line: where it is entered.
    """

    name: str
    entered: str | None
    targets: tuple[tuple[str, tuple[int, ...]], ...]
    reads: frozenset[str]
    line: int


@dataclass(frozen=True, slots=True)
class Managers:
    """The managers of a function.

    Attributes:
        around: by point number, outermost first; points without any are left out.
        entering: the points that wait for an ``__aenter__``, or for the manager.
    """

    around: dict[int, tuple[Manager, ...]]
    entering: set[int]


@dataclass(eq=False, slots=True)
class Compiled:
    """One function in both versions.

    Attributes:
        source: what it was compiled from.
        flavour: what calling it makes.
        kinds: what happens at each of its points.
        code: the running version.
        cells: the variables it shares with other functions, in the order of its `..cs`.
        locals: its other locals: the parameters of the twin.
        live: what has to be saved, by point.
        managers: the context managers that are entered at each point.
        twin: the re-entry twin, if it was wanted already; see `compile.twin_of`.
    """

    source: FunctionSource
    flavour: Flavour
    kinds: tuple[PointKind, ...]
    code: CodeType
    cells: tuple[str, ...]
    locals: tuple[str, ...]
    live: dict[int, Live]
    managers: Managers
    twin: CodeType | None = None
    _lowered: Lowered | None = field(default=None)
    _constructs: dict[int, Around] | None = field(default=None)

    @property
    def key(self) -> FunctionKey:
        return self.source.key

    @property
    def version(self) -> str:
        return self.source.version

    @property
    def lowered(self) -> Lowered:
        """Its lowered form."""
        if self._lowered is None:
            from .passes import lowered_form

            self._lowered = lowered_form(self.source)
        return self._lowered

    @property
    def constructs(self) -> dict[int, Around]:
        """What each point lies in."""
        if self._constructs is None:
            from .enclosing import constructs

            self._constructs = constructs(self.lowered)
        return self._constructs

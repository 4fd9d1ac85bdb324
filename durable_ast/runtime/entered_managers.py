"""The lost managers that each branch of an instance has entered, and their names in graphs.

How such a manager is named is told in `lost`, how it is entered again in `staged`.
"""

from __future__ import annotations

from collections.abc import Sequence

from .branch import Branch
from .call_stack import FunctionCall
from .lost import Entered, Lost, Name, names_of


class EnteredManagers:
    """Who has entered what.

    Attributes:
        names: the names of the managers and of what they gave, by id; the objects are kept alive.
    """

    def __init__(self) -> None:
        self.names: dict[int, Name] = {}
        self._lost: dict[Branch, list[Lost]] = {}
        self._entered: dict[Branch, list[Entered]] = {}

    def lost(self, branch: Branch) -> Sequence[Lost]:
        """The managers that a branch has entered, as they stood in its calls when they were noted."""
        return self._lost.get(branch, ())

    def entered(self, branch: Branch) -> set[int]:
        """The numbers of the managers that a branch has entered."""
        return {item.number for item in self._entered.get(branch, ())}

    def known(self) -> set[int]:
        """The numbers of all of them."""
        return {item.number for items in self._entered.values() for item in items}

    def note(self, branch: Branch, calls: Sequence[FunctionCall]) -> set[int]:
        """Note what a branch with these calls has entered; gives the numbers of what it has left."""
        lost = branch.savable.lost(calls) if any(call.managers for call in calls) else []
        left = self.entered(branch) - {item.number for item in lost}
        if lost or left:
            self._lost[branch], self._entered[branch] = lost, [*lost]
            self._name()
        return left

    def add(self, branch: Branch, item: Entered) -> None:
        """A restored branch has entered a manager again."""
        self._entered.setdefault(branch, []).append(item)
        self._name()

    def forget(self, branch: Branch) -> None:
        """Forget a branch."""
        self._lost.pop(branch, None)
        self._entered.pop(branch, None)

    def _name(self) -> None:
        self.names = names_of(item for items in self._entered.values() for item in items)

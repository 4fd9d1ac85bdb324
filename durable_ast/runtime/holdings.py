"""Which record of an instance holds which object, and which objects several records refer to.

Objects are known by their ids, which stay theirs because the objects are kept alive here.  What is
written, and when, is no matter of this module: see `parts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import CellType
from typing import Any

from ..state import snapshot
from .branch import Branch


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What is in the record of a branch.

    Attributes:
        objects: the objects that can change, by id.
        cells: variables that nobody in it may read, by id.
        numbers: the shared objects that it refers to.
        spare: those that it names though it does not refer to them.
        opens: the lost managers that it has entered, by number.
        uses: those of others that it refers to.
    """

    objects: dict[int, Any] = field(default_factory=dict)
    cells: dict[int, CellType] = field(default_factory=dict)
    numbers: frozenset[int] = frozenset()
    spare: frozenset[int] = frozenset()
    opens: frozenset[int] = frozenset()
    uses: frozenset[int] = frozenset()


NOTHING = Part()


class Holdings:
    """The records of an instance, as to what is in them.

    Attributes:
        parts: the records of the branches.
        shared: the objects that several of them refer to, by number.
        numbers: their numbers, by the ids of the objects.
    """

    def __init__(self) -> None:
        self.parts: dict[Branch, Part] = {}
        self.shared: dict[int, Any] = {}
        self.numbers: dict[int, int] = {}
        self._next = 1
        self._owner: dict[int, Branch | None] = {}
        """Whose record an object is in, by its id; None for the record of what is shared."""
        self._spare_in: dict[int, set[Branch]] = {}
        self._uses: Counter[int] = Counter()
        self._in_shared: dict[int, Any] = {}

    # the record of a branch

    def of(self, branch: Branch) -> Part:
        """What is in the record of a branch."""
        return self.parts.get(branch, NOTHING)

    def put(self, branch: Branch, part: Part) -> None:
        """What is in the record of a branch from now on."""
        self._take_out(branch)
        self.parts[branch] = part
        self._owner.update(dict.fromkeys(part.objects, branch))
        for key in part.cells:
            self._spare_in.setdefault(key, set()).add(branch)
        self.use(part.numbers)

    def remove(self, branch: Branch) -> None:
        """A branch has no record any more."""
        self._take_out(branch)
        del self.parts[branch]

    def _take_out(self, branch: Branch) -> None:
        part = self.of(branch)
        for key in part.objects:
            if self._owner.get(key) is branch:
                del self._owner[key]
        for key in part.cells:
            self._spare_in[key].discard(branch)
            if not self._spare_in[key]:
                del self._spare_in[key]
        self.use_no_more(part.numbers)

    def holders(self, key: int, branch: Branch | None, *, is_spare: bool = False) -> list[Branch | None]:
        """In which other records an object is; None for that of what is shared.  Where it is but a
        spare cell, those do not count for which it is no more than that."""
        holders: list[Branch | None] = []
        if self._owner.get(key, branch) is not branch:
            holders.append(self._owner[key])
        if not is_spare:
            holders.extend(self._spare_in.get(key, set()) - {branch})
        return holders

    def share_of(
        self, branch: Branch, objects: Mapping[int, Any], cells: Mapping[int, CellType], at_once: int
    ) -> list[Branch]:
        """Give numbers to what other records hold too of the objects and spare cells that a branch refers
        to; gives the branches that have to be written once more for that.

        Args:
            branch: the branch.
            objects, cells: what it refers to, by id.
            at_once: how many numbers are given at most.
        """
        again: dict[Branch, None] = {}
        owner, spare_in = self._owner, self._spare_in
        for key, obj in (*objects.items(), *cells.items()):
            if owner.get(key, branch) is branch and key not in spare_in:
                continue  # as nearly all of them
            holders = self.holders(key, branch, is_spare=key in cells)
            if not holders or snapshot.is_global(obj):
                continue
            self._share(obj)
            again.update(dict.fromkeys([branch, *(holder for holder in holders if holder is not None)]))
            at_once -= 1
            if not at_once:
                break
        return list(again)

    # what is shared

    def adopt(self, shared: Mapping[int, Any]) -> None:
        """These are shared, by number."""
        for number, obj in shared.items():
            self.shared[number], self.numbers[id(obj)] = obj, number

    def adopt_numbers(self, numbers: Iterable[int]) -> None:
        """These numbers are taken."""
        self._next = max(numbers) + 1

    def use(self, numbers: Iterable[int]) -> None:
        """Another record refers to these objects."""
        self._uses.update(numbers)

    def use_no_more(self, numbers: Iterable[int]) -> None:
        """A record less does."""
        self._uses.subtract(numbers)

    def unused(self) -> frozenset[int]:
        """The shared objects that no record of a branch refers to."""
        return frozenset(number for number in self.shared if self._uses[number] <= 0)

    def forget(self, numbers: Iterable[int]) -> None:
        """These are shared no more."""
        for number in numbers:
            del self.numbers[id(self.shared.pop(number))]
            del self._uses[number]

    def share_in_shared(self, objects: Mapping[int, Any]) -> list[Branch]:
        """Give numbers to what branches hold too of what the shared objects refer to; gives the branches
        that have to be written once more for that."""
        again: dict[Branch, None] = {}
        for key, obj in objects.items():
            holders = self.holders(key, None)
            if holders and not snapshot.is_global(obj):
                self._share(obj)
                again.update((holder, None) for holder in holders if holder is not None)
        return list(again)

    def put_shared(self, objects: dict[int, Any]) -> None:
        """What is in the record of what is shared from now on, by id."""
        for key in self._in_shared:
            if self._owner.get(key, ...) is None:
                del self._owner[key]
        self._in_shared = objects
        self._owner.update(dict.fromkeys(objects))

    def naming(self, numbers: Collection[int]) -> list[Branch]:
        """The branches whose records name one of these objects though they do not refer to it."""
        return [branch for branch, part in self.parts.items() if not part.spare.isdisjoint(numbers)]

    def _share(self, obj: Any) -> None:
        if id(obj) in self.numbers:
            return
        number, self._next = self._next, self._next + 1
        self.shared[number], self.numbers[id(obj)] = obj, number

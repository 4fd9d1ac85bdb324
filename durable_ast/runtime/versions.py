"""What the branches of an instance share, as it was: for going back to before an error.

An error that ends an instance takes the branches that it has gone through back to where they stood
before, so that a later call runs again what failed.  What they share must go back with them, and so
must others that have gone on with it; but nobody goes back over something that it has finished.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from .branch import Branch
from .cut import SHARED, Errors, header_of, key_of

UNKNOWN = -1
"""Stands for a version that an earlier process has written."""

_REMEMBERED = 64
"""How many versions are kept."""


@dataclass(frozen=True, slots=True)
class _Version:
    """What was shared once records had been written.

    Attributes:
        shared: the record of it.
        numbers: the objects in that.
        fixed: the branches that were written then because something of theirs had ended.
        others: the records of the others before, of branches that share anything.
    """

    shared: bytes | None
    numbers: frozenset[int] = frozenset()
    fixed: frozenset[Branch] = frozenset()
    others: Mapping[Branch, bytes | None] = field(default_factory=dict)


class Versions:
    """The record of what is shared, and what it was before.

    Attributes:
        shared: the record as it is stored; None if nothing is shared.
        number: how often records were written.
    """

    def __init__(self) -> None:
        self.shared: bytes | None = None
        self.number = 0
        self._kept: dict[int, _Version] = {0: _Version(None)}

    def adopt(self, shared: bytes, numbers: frozenset[int]) -> None:
        """This is what is stored, with objects of these numbers."""
        self.shared = shared
        self._kept[0] = _Version(shared, numbers)

    def begin(self) -> None:
        """Records are about to be written."""
        self.number += 1
        self._kept[self.number] = replace(self._kept[self.number - 1], fixed=frozenset(), others={})
        self._kept.pop(self.number - _REMEMBERED, None)

    def note(
        self, numbers: Collection[int], before: Mapping[Branch, bytes | None], finished: Collection[Branch]
    ) -> None:
        """They are.

        Args:
            numbers: the objects that are shared now.
            before: the earlier records of those written that share anything.
            finished: the branches that have finished something.
        """
        others = {branch: data for branch, data in before.items() if branch not in finished}
        fixed = frozenset(before.keys() - others.keys())
        self._kept[self.number] = _Version(self.shared, frozenset(numbers), fixed, others)

    def give_up(self) -> None:
        """They are not after all."""
        self.shared = self._kept[self.number - 1].shared
        self._kept[self.number] = replace(self._kept[self.number - 1], fixed=frozenset(), others={})

    def as_of_before(self, back: Mapping[Branch, bytes]) -> dict[str, bytes | None] | None:
        """Records to go back to, with what is shared as it was then, and with those of other branches
        that have gone on with it since and finished nothing; None if one has, or if there was no such
        moment.

        Args:
            back: the records.
        """
        number = max((_errors(branch).since for branch in back), default=0)
        then = self._kept.get(number)
        records = {**back}
        for later in range(number + 1, self.number + 1):
            since = self._kept.get(later)
            if since is None or not since.fixed <= back.keys():
                return None
            for branch, data in since.others.items():
                if data is None and branch not in back:
                    return None
                records.setdefault(branch, data or b"")
        if then is None or any(number > _errors(branch).until for branch in back):
            return None
        if not all(header_of(data).shared <= then.numbers for data in records.values()):
            return None
        found: dict[str, bytes | None] = {_name(branch): data for branch, data in records.items()}
        if then.shared != self.shared:
            found[SHARED] = then.shared
        return found


def _errors(branch: Branch) -> Errors:
    assert branch.line is not None
    return branch.line.errors


def _name(branch: Branch) -> str:
    assert branch.line is not None
    return key_of(branch.line.number)

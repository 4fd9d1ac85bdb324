"""`itertools.groupby` as it goes on after a resume: it cannot be made to stand in the middle of a group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


class Nothing:
    """Stands for a key or a value that is not there."""


class Groups:
    """The groups that are left.

    Args:
        inner: gives the items.
        key: gives the key of an item; None for the item itself.
        wanted: the key of the group that was given last.
        current: the key of the item that was read last, unless that was given.
        value: that item.
    """

    def __init__(
        self, inner: Iterator[Any], key: Callable[[Any], Any] | None, wanted: Any, current: Any, value: Any
    ) -> None:
        self._inner, self._key_of = inner, key
        self._wanted, self.current, self.value = wanted, current, value
        self.group: Group | None = None

    def __iter__(self) -> Groups:
        return self

    def __next__(self) -> tuple[Any, Group]:
        self.group = None
        while self.current is Nothing or (self._wanted is not Nothing and _is_same(self._wanted, self.current)):
            self.read()
        self._wanted = self.current
        return self.current, Group(self, self._wanted, True)

    def read(self) -> None:
        """Read the next item."""
        value = next(self._inner)
        current = value if self._key_of is None else self._key_of(value)
        self.value, self.current = value, current


class Group:
    """The items of one key that are left; none, once the groups have gone on."""

    def __init__(self, groups: Groups, key: Any, is_current: bool) -> None:
        self._groups, self._key = groups, key
        if is_current:
            groups.group = self

    def __iter__(self) -> Group:
        return self

    def __next__(self) -> Any:
        groups = self._groups
        if groups.group is not self:
            raise StopIteration
        if groups.value is Nothing:
            groups.read()
        if not _is_same(self._key, groups.current):
            raise StopIteration
        value, groups.value, groups.current = groups.value, Nothing, Nothing
        return value


def _is_same(first: Any, second: Any) -> bool:
    return first is second or bool(first == second)

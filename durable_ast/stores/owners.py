"""A name for an owner of instances that no other owner has, wherever it is."""

from __future__ import annotations

import uuid

from . import process


class Owner:
    """An owner in this process.

    >>> one, two = Owner(), Owner()
    >>> one.name == one.name, one.name == two.name
    (True, False)
    """

    def __init__(self) -> None:
        self._pid = 0
        self._name = ""

    @property
    def name(self) -> str:
        """Its name; another one after a fork."""
        if self._pid != process.number:
            self._pid, self._name = process.number, uuid.uuid4().hex
        return self._name

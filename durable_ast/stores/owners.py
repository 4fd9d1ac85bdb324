"""A name for an owner of instances that no other owner has, wherever it is."""

from __future__ import annotations

import os
import uuid


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
        if self._pid != os.getpid():
            self._pid, self._name = os.getpid(), uuid.uuid4().hex
        return self._name

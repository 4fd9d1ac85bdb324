"""The right to own instances for a while, as long as it is renewed.

The server decides who is alive by its own clock.  The owner decides by its own, counting from before
it asked for the renewal, and leaves the last tenth to itself: what it runs has stopped in any case before
the server lets others go on.
"""

from __future__ import annotations

import time

from .owners import Owner

_OWN_SHARE = 0.9
"""How much of a lease its owner makes use of; in the rest it stops."""
_clock = time.CLOCK_BOOTTIME if hasattr(time, "CLOCK_BOOTTIME") else time.CLOCK_MONOTONIC
"""A clock that goes on while the machine is asleep, where there is one."""


def now() -> float:
    """Seconds, for the methods of `Lease`."""
    return time.clock_gettime(_clock)


class Lease:
    """The lease of one owner.

    Args:
        seconds: how long it lasts.

    >>> lease = Lease(10.0)
    >>> lease.is_held
    False
    >>> lease.renewed(now())
    >>> lease.is_held, lease.wants_renewal
    (True, False)
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._owner = Owner()
        self._until = 0.0

    @property
    def owner(self) -> str:
        """The name under which the server knows the owner."""
        return self._owner.name

    @property
    def is_held(self) -> bool:
        """Whether it has been renewed in time."""
        return self.left > 0.0

    @property
    def left(self) -> float:
        """For how many more seconds its owner may make use of it."""
        return self._until - now()

    @property
    def is_signed_in(self) -> bool:
        """Whether the server knows of it."""
        return self._until > 0.0

    @property
    def wants_renewal(self) -> bool:
        """Whether a quarter of it is over."""
        return self.is_signed_in and self.left < (_OWN_SHARE - 0.25) * self.seconds

    def renewed(self, asked: float) -> None:
        """The server has given it, or renewed it; it was `asked` at that time."""
        self._until = asked + _OWN_SHARE * self.seconds

    def begin_anew(self) -> None:
        """It has run out; another owner takes the place of this one."""
        self._owner = Owner()
        self._until = 0.0

"""What a transition of an instance does beside moving it on, in the same commit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..state.schema import Outgoing
from ..stores.parts import NO_PARTS, Parts


@dataclass(frozen=True, slots=True)
class Effects:
    """Effects of a transition.

    Attributes:
        consumed: the numbers of the messages that it takes from the mailbox.
        parts: records beside the instance's own that it writes, by name; None deletes one.
        outbox: messages that it puts into other mailboxes.
    """

    consumed: tuple[int, ...] = ()
    parts: Parts = field(default_factory=lambda: NO_PARTS)
    outbox: Sequence[Outgoing] = ()

    def with_parts(self, parts: Parts) -> Effects:
        """The same, and other parts as well."""
        return Effects(self.consumed, {**self.parts, **parts}, self.outbox) if parts else self

    def with_consumed(self, numbers: Iterable[int]) -> Effects:
        """The same, and other messages as well."""
        more = tuple(numbers)
        return Effects((*self.consumed, *more), self.parts, self.outbox) if more else self


NO_EFFECTS = Effects()


def united(effects: Sequence[Effects]) -> Effects:
    """All of them as one."""
    if len(effects) < 2:
        return effects[0] if effects else NO_EFFECTS
    consumed = tuple(number for each in effects for number in each.consumed)
    parts = {name: value for each in effects for name, value in each.parts.items()}
    return Effects(consumed, parts, tuple(message for each in effects for message in each.outbox))

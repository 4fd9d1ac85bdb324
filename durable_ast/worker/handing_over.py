"""A store that lets its instances go with their next checkpoint, once it is asked to."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from ..errors import DurableError
from ..state.schema import Outgoing, Record
from ..stores.base import InstanceStore
from ..stores.delegating import DelegatingStore
from ..stores.parts import NO_PARTS, Parts
from ..stores.transactions import OpenTransaction


class HandedOver(DurableError):
    """The checkpoint is written, and the instance stops here for others to go on with it."""


class HandingOverStore(DelegatingStore):
    """Behaves like the store behind it until `hand_over` is called."""

    def __init__(self, inner: InstanceStore) -> None:
        super().__init__(inner)
        self._hands_over = False

    def hand_over(self) -> None:
        """From now on, whatever writes a checkpoint stops there."""
        self._hands_over = True

    def commit(
        self,
        record: Record,
        consumed: Sequence[int],
        flush: bool,
        parts: Parts = NO_PARTS,
        outbox: Sequence[Outgoing] = (),
    ) -> Awaitable[None] | None:
        writing = self.inner.commit(record, consumed, flush, parts, outbox)
        return self._handed_over(record, writing) if self._hands_over else writing

    def commit_within(
        self,
        transaction: OpenTransaction,
        record: Record,
        consumed: Sequence[int],
        parts: Parts = NO_PARTS,
        outbox: Sequence[Outgoing] = (),
    ) -> Awaitable[None]:
        writing = self.inner.commit_within(transaction, record, consumed, parts, outbox)
        return self._handed_over(record, writing) if self._hands_over else writing

    async def _handed_over(self, record: Record, writing: Awaitable[None] | None) -> None:
        if writing is not None:
            await writing
        if not record.status.is_final:
            raise HandedOver(f"instance {record.instance_id!r} is handed over")

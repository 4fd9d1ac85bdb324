"""Which instances to list."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from ..state.schema import INTERNAL, Record, Status


@dataclass(frozen=True, slots=True)
class Selection:
    """Which instances to list; see `InstanceStore.records`."""

    status: frozenset[Status] | None = None
    program: str | None = None
    prefix: str | None = None
    since: float | None = None
    limit: int | None = None
    offset: int = 0

    def matches(self, record: Record) -> bool:
        """Whether the filters let a record through."""
        return (
            not record.program.startswith(INTERNAL)
            and (self.status is None or record.status in self.status)
            and (self.program is None or record.program == self.program)
            and (self.prefix is None or record.instance_id.startswith(self.prefix))
            and (self.since is None or record.created_at >= self.since)
        )

    def page(self, records: Iterable[Record]) -> list[Record]:
        """The asked page of those records, newest first, that match."""
        matching = (record for record in records if self.matches(record))
        end = None if self.limit is None else self.offset + self.limit
        return list(itertools.islice(matching, self.offset, end))

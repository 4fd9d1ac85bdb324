"""What belongs to an instance beside its record, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

from ..state.history import PREFIX as HISTORY
from ..state.schema import BRANCHES

Parts: TypeAlias = Mapping[str, bytes | None]
NO_PARTS: Parts = MappingProxyType({})
TRANSIENT = (BRANCHES, "j/")
"""What the names of those parts begin with that are gone once the instance has ended for good."""

_OWN = (*TRANSIENT, HISTORY, "s/")
"""What the names of those parts begin with that are for the instance itself."""


def are_news(parts: Parts) -> bool:
    """Whether somebody outside may wait for one of these parts: all but those of the run itself."""
    return any(not name.startswith(_OWN) for name in parts)

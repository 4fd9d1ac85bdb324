"""Binds the hidden free variables of compiled code to the functions of the runtime."""

from __future__ import annotations

from types import CellType

from ..compiler.names import INTRINSICS
from ..errors import PauseForEventException
from . import awaiting, events, intrinsics
from .functions import intrinsics as cells

cells.update(
    {
        name: CellType(function)
        for name, function in {
            **intrinsics.functions(),
            ".await": awaiting.decide,
            ".pause": events.pause,
            ".Pause": PauseForEventException,
        }.items()
    }
)
assert set(cells) == set(INTRINSICS), set(cells) ^ set(INTRINSICS)

"""Binds the hidden free variables of compiled code to the functions of the runtime."""

from __future__ import annotations

from types import CellType

from ..compiler.names import INTRINSICS
from ..errors import PauseForEventException
from . import async_generators, awaiting, events, functions, intrinsics, unstaged


def bind() -> None:
    """Give every intrinsic its function."""
    bound = {
        **intrinsics.functions(),
        ".await": awaiting.decide,
        ".pause": events.pause,
        ".Pause": PauseForEventException,
        ".child": unstaged.child,
        ".aiter": async_generators.aiter,
        ".anext": async_generators.anext,
    }
    functions.intrinsics.update({name: CellType(bound[name]) for name in INTRINSICS})

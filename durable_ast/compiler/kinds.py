"""The kinds of functions, of suspension points, and of ways out of a block.

Apart from the lowered form, because the runtime asks for them without wanting to compile anything.
"""

import enum


class Flavour(enum.Enum):
    """What calling the function makes."""

    COROUTINE = "coroutine"
    GENERATOR = "generator"
    ASYNC_GENERATOR = "async generator"


class PointKind(enum.Enum):
    """What happens at a suspension point."""

    AWAIT = "await"
    PAUSE = "pause"
    YIELD = "yield"
    YIELD_FROM = "yield from"


class Leaving(enum.IntEnum):
    """How control is leaving a ``try`` whose ``finally`` suspends."""

    NORMAL = 0
    RETURN = 1
    BREAK = 2
    CONTINUE = 3
    RAISE = 4

"""Enumerations that are defined inside functions."""

import datetime
import enum

from ..effects import step
from ..everywhere import everywhere


def facts(kind):
    return {name: (member.name, member.value, repr(member), str(member)) for name, member in kind.__members__.items()}


@everywhere()
async def test_plain():
    class Color(enum.Enum):
        RED = 1
        ROUGE = 1
        BLUE = "b"
        LIST = [1, 2]

        def shown(self):
            return self.name.lower()

    red = Color.RED
    await step()
    return (
        facts(Color),
        red is Color.ROUGE,
        Color(1) is red,
        Color["ROUGE"] is red,
        red.shown(),
        Color([1, 2]) is Color.LIST,
        await step(len(Color)),
    )


@everywhere()
async def test_with_values_of_types():
    class Day(datetime.date, enum.Enum):
        FIRST = 2023, 12, 1
        LEAP = 2016, 2, 29
        SAME = 2023, 12, 1

    class Number(float, enum.Enum):
        ONE = 1.5
        UN = 1.5

    class Text(enum.StrEnum):
        A = enum.auto()
        B = "a"

    class Code(enum.IntEnum):
        OK = 200
        FINE = 200

    members = [Day.LEAP, Number.ONE, Text.A, Code.OK]
    await step()
    return (
        [facts(kind) for kind in (Day, Number, Text, Code)],
        [type(member)(member.value) is member for member in members],
        Day.LEAP.year,
        Number.UN + 1,
        Text.A + "b",
        Code.OK < 300,
        await step(members[0] is Day.LEAP),
    )


@everywhere()
async def test_whose_members_are_made_by_the_class():
    made = []

    class Planet(enum.Enum):
        EARTH = (5.9, 6.3)
        MARS = (6.4, 3.3)

        def __new__(cls, mass, radius):
            made.append(mass)
            member = object.__new__(cls)
            member._value_ = len(cls.__members__) + 1
            return member

        def __init__(self, mass, radius):
            made.append(radius)
            self.mass = mass

    earth = Planet.EARTH
    await step()
    return facts(Planet), earth.mass, Planet(2) is Planet.MARS, made, await step(earth in Planet)


@everywhere()
async def test_flags():
    class Mode(enum.Flag):
        R = enum.auto()
        W = enum.auto()
        RW = R | W

        @classmethod
        def _missing_(cls, value):
            return super()._missing_(value)

    both, none = Mode.R | Mode.W, Mode(0)
    await step()
    return (
        facts(Mode),
        both is Mode.RW,
        none is Mode(0),
        Mode.R in both,
        [mode.name for mode in both],
        await step(~Mode.R is Mode.W),
    )

"""Words of a command line as arguments of a program."""

from __future__ import annotations

import datetime
import enum
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest

from durable_ast.cli.arguments import bound, value_of
from durable_ast.cli.failures import Failure


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


@pytest.mark.parametrize(
    ("word", "hint", "value"),
    [
        ("7", Any, 7),
        ("seven", Any, "seven"),
        ('{"a": [1]}', Any, {"a": [1]}),
        ("7", str, "7"),
        ('"7"', str, '"7"'),
        ("7", float, 7.0),
        ("7", int | None, 7),
        ("null", int | None, None),
        ("7", str | int, 7),
        ("x", str | int, "x"),
        ("true", bool, True),
        ("[1, 2]", tuple[int, ...], (1, 2)),
        ("[1, 2]", list[int], [1, 2]),
        ("a/b", Path, Path("a/b")),
        ("1.10", Decimal, Decimal("1.10")),
        ("2026-01-02", datetime.date, datetime.date(2026, 1, 2)),
        ("s", Size, Size.SMALL),
        ("LARGE", Size, Size.LARGE),
        ("2", Literal[1, 2], 2),
    ],
)
def test_a_word_is_read_by_its_annotation(word: str, hint: Any, value: object) -> None:
    found = value_of(word, hint)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("size=medium", "argument 'size': 'medium' is none of s, SMALL, l, LARGE"),
        ("when=tomorrow", "argument 'when': 'tomorrow' is no date or null"),
    ],
)
def test_a_word_that_is_no_such_value_is_refused(word: str, message: str) -> None:
    async def order(size: Size = Size.SMALL, when: datetime.date | None = None) -> None: ...

    with pytest.raises(Failure, match=message):
        bound(order, [word])


def test_names_and_places() -> None:
    async def order(count: int, text: str, *more: int, key: str, **others: str) -> None: ...

    arguments = bound(order, ["1", "a=b", "2", "key=k"])
    assert arguments.args == (1, "a=b", 2)
    assert arguments.kwargs == {"key": "k"}

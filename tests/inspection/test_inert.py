"""A snapshot is shown without running what it names."""

from __future__ import annotations

import asyncio
import collections
import enum
import functools
import io
import os
import pickle
import re
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from durable_ast.inspection.inert import unpickler
from durable_ast.state import snapshot


class Color(enum.Enum):
    RED = 1


@dataclass
class Point:
    x: int
    y: "Point | None" = None
    tags: dict[str, int] = field(default_factory=dict)


class Slotted:
    __slots__ = ("left", "right")

    def __init__(self) -> None:
        self.left, self.right = 1, 2


class Words(list[str]):
    pass


def looked_at(value: Any) -> Any:
    return snapshot.loads_with_cells(snapshot.dumps(value), unpickler)[0]


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, None, True, b"x"], "b": (1, {2})},
        collections.Counter("aab"),
        collections.deque([1], maxlen=3),
        Decimal("1.10"),
        datetime(2026, 1, 2, tzinfo=UTC),
        bytearray(b"abc"),
        range(3),
        frozenset({1}),
    ],
)
def test_plain_data_comes_back_as_it_is(value: object) -> None:
    assert looked_at(value) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Point(1, Point(2)), "Point(x=1, y=Point(x=2, y=None, tags={}), tags={})"),
        (Color.RED, "Color(1)"),
        (Slotted(), "Slotted(left=1, right=2)"),
        (Words(["a", "b"]), "Words(['a', 'b'])"),
        (ValueError("bad", 3), "ValueError('bad', 3)"),
        (Point, "Point"),
        (os.path, "<module 'posixpath'>"),
        (functools.partial(int, base=2), "partial(int, base=2)"),
        ("abc".upper, "'abc'.upper"),
        (iter([1, 2]), "iter([1, 2])"),
        ({"a": 1}.items(), "{'a': 1}.items()"),
        (re.search("b", "abc"), "<match in 'abc'>"),
    ],
)
def test_an_object_is_shown_by_its_class_and_its_parts(value: object, text: str) -> None:
    assert repr(looked_at([value])[0]) == text


def test_files_and_locks(tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("one\ntwo\n")
    with (tmp_path / "rows.txt").open() as file:
        file.readline()
        shown = repr(looked_at(file))
    assert shown.startswith(f"<open file '{tmp_path / 'rows.txt'}' at ")
    assert repr(looked_at(file)) == f"<closed file '{tmp_path / 'rows.txt'}'>"
    lock = threading.Lock()
    assert repr(looked_at(lock)) == "<unlocked lock>"
    with lock:
        assert repr(looked_at(lock)) == "<locked lock>"
    assert repr(looked_at(asyncio.Event())) == "Event(_value=False)"


def test_functions_and_classes_without_a_name_of_their_own() -> None:
    def local(a: int) -> int:
        return a

    class Local:
        def __init__(self) -> None:
            self.a = 1

    assert repr(looked_at(local)).startswith("<function test_functions")
    assert repr(looked_at(Local())).endswith("Local(a=1)")


def test_a_cycle_is_shown_once() -> None:
    point = Point(1)
    point.y = point
    assert repr(looked_at(point)) == "Point(x=1, y=..., tags={})"


class Harmful:
    def __reduce__(self) -> Any:
        return os.mkdir, ("harm",)


def test_what_a_pickle_calls_is_shown_and_not_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert repr(unpickler(io.BytesIO(pickle.dumps(Harmful()))).load()) == "mkdir('harm')"
    assert not list(tmp_path.iterdir())

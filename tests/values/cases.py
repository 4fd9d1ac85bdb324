"""Values that are awkward to save: how each is made, and what must be true of it afterwards.

A case is a pair of functions.  Where the second is called, the process that called the first is dead.
"""

import array
import asyncio
import collections
import concurrent.futures
import contextvars
import dataclasses
import datetime
import decimal
import enum
import functools
import io
import itertools
import json
import logging
import os
import pathlib
import queue
import random
import re
import socket
import sqlite3
import struct
import sys
import threading
import types
import unittest.mock
import uuid
import weakref
import zoneinfo
from collections.abc import Callable
from typing import Any, NamedTuple

from durable_ast import resource

FOLDER = pathlib.Path(os.environ.get("VALUES", "."))


@dataclasses.dataclass(frozen=True)
class Case:
    """One awkward value; `is_saved` says whether it is saved, or made anew by the code that made it."""

    make: Callable[[], Any]
    check: Callable[[Any], None]
    is_saved: bool = True


CASES: dict[str, Case] = {}


def case(make: Callable[[], Any], *, is_saved: bool = True):
    """A decorator for the check of a value that `make` makes."""

    def decorate(check: Callable[[Any], None]) -> Callable[[Any], None]:
        CASES[check.__name__] = Case(make, check, is_saved)
        return check

    return decorate


# files


def file(name: str, text: str = "one\ntwo\nthree\n") -> pathlib.Path:
    path = FOLDER / name
    path.write_bytes(text.encode())
    return path


def half_read():
    opened = file("read.txt", "äöü\r\nzwei\r\ndrei\r\n").open(newline="", encoding="utf-8")
    assert opened.readline() == "äöü\r\n"
    return opened


@case(half_read)
def open_text_file(opened):
    assert (opened.name, opened.mode) == (str(FOLDER / "read.txt"), "r")
    assert opened.read() == "zwei\r\ndrei\r\n"


def half_written():
    opened = (FOLDER / "written.txt").open("w", encoding="utf-16")
    opened.write("first, ")
    return opened


@case(half_written)
def written_text_file(opened):
    opened.write("second")
    opened.close()
    assert (FOLDER / "written.txt").read_text(encoding="utf-16") == "first, second"


def appended():
    opened = file("appended.txt").open("a")
    opened.write("four\n")
    return opened


@case(appended)
def appended_text_file(opened):
    opened.write("five\n")
    opened.flush()
    assert (FOLDER / "appended.txt").read_text() == "one\ntwo\nthree\nfour\nfive\n"


def binary():
    opened = file("binary").open("r+b")
    opened.seek(4)
    return opened, opened.raw


@case(binary)
def binary_file_and_what_is_under_it(value):
    opened, raw = value
    assert opened.raw is raw
    assert opened.read(3) == b"two"
    opened.write(b"!")
    opened.seek(0)
    assert opened.read() == b"one\ntwo!three\n"


def relative():
    os.chdir(FOLDER)
    file("relative.txt")
    opened = open("relative.txt")  # noqa: SIM115
    opened.read(2)
    return opened


@case(relative)
def file_of_a_relative_path(opened):
    assert (opened.name, opened.read(3)) == ("relative.txt", "e\nt")


def closed():
    with file("closed.txt").open() as opened:
        return opened


@case(closed)
def closed_file(opened):
    assert opened.closed and opened.name == str(FOLDER / "closed.txt")


@case(lambda: (sys.stdout, sys.stderr.buffer, sys.__stdin__))
def standard_streams(streams):
    assert streams == (sys.stdout, sys.stderr.buffer, sys.__stdin__)


@case(lambda: (io.StringIO("abc"), io.BytesIO(b"def"))[0])
def file_in_memory(opened):
    assert opened.read() == "abc"


@case(lambda: os.fdopen(os.pipe()[0]), is_saved=False)
def pipe(opened):
    assert opened.fileno()


# connections


@case(socket.socketpair, is_saved=False)
def sockets(pair):
    left, right = pair
    left.send(b"x")
    assert right.recv(1) == b"x"


def client_session():
    import aiohttp

    return aiohttp.ClientSession("https://example.org")


@case(client_session)
def session_of_aiohttp(session):
    assert not session.closed and session._loop is asyncio.get_running_loop()


def engine():
    import sqlalchemy

    made = sqlalchemy.create_engine("sqlite://")
    return made, made.connect()


@case(engine, is_saved=False)
def engine_of_sqlalchemy(value):
    import sqlalchemy

    assert value[1].execute(sqlalchemy.text("select 1")).scalar() == 1


def session():
    import sqlalchemy
    from sqlalchemy.orm import Session

    return Session(sqlalchemy.create_engine("sqlite://"))


@case(session, is_saved=False)
def session_of_sqlalchemy(opened):
    import sqlalchemy

    assert opened.execute(sqlalchemy.text("select 1")).scalar() == 1


@case(lambda: sqlite3.connect(FOLDER / "data.db"), is_saved=False)
def database_connection(connection):
    assert connection.execute("select 1").fetchone() == (1,)


def http_client():
    import httpx

    return httpx.AsyncClient(base_url="https://example.org")


@case(http_client, is_saved=False)
def client(opened):
    assert opened.base_url.host == "example.org"


def connecting_client():
    import psycopg
    import redis

    return redis.Redis(port=1), psycopg.rows.dict_row


@case(connecting_client)
def client_that_has_not_connected(value):
    assert value[0].connection_pool.connection_kwargs["port"] == 1


class Pool:
    """Made again by a resource."""

    def __init__(self, size: int) -> None:
        self.size, self.sockets = size, socket.socketpair()


class SpecialPool(Pool):
    """A subclass, which the resource holds for."""


@resource(Pool, save=lambda pool: (type(pool), pool.size), subclasses=True)
def open_pool(facts):
    kind, size = facts
    return kind(size)


@case(lambda: [SpecialPool(3)] * 2)
def resource_twice(pools):
    assert type(pools[0]) is SpecialPool and pools[0].size == 3 and pools[0] is pools[1]


@case(lambda: concurrent.futures.ThreadPoolExecutor(1), is_saved=False)
def thread_pool(pool):
    assert pool.submit(int, "7").result() == 7


def running_thread():
    thread = threading.Thread(target=threading.Event().wait, daemon=True)
    thread.start()
    return thread


@case(lambda: asyncio.get_running_loop().call_later(3600, print), is_saved=False)
def timer_of_the_loop(handle):
    assert not handle.cancelled()
    handle.cancel()


@case(lambda: asyncio.get_running_loop().create_future(), is_saved=False)
def future_of_the_loop(future):
    future.set_result(1)


@case(running_thread, is_saved=False)
def thread(started):
    assert started.is_alive()


# synchronization


def locked():
    lock = asyncio.Lock()
    lock._locked = True
    return lock


@case(locked)
def asyncio_lock(lock):
    assert lock.locked()
    lock.release()
    assert not lock.locked()


def semaphore():
    made = asyncio.BoundedSemaphore(3)
    made._value = 1
    return made


@case(semaphore)
def asyncio_semaphore(made):
    assert not made.locked()
    made.release()
    made.release()
    try:
        made.release()
    except ValueError:
        return
    raise AssertionError("the bound is gone")


def asyncio_things():
    lock = asyncio.Lock()
    event = asyncio.Event()
    event.set()
    return event, asyncio.Condition(lock), lock, asyncio.Barrier(2)


@case(asyncio_things)
def asyncio_event_condition_barrier(value):
    event, condition, lock, barrier = value
    assert event.is_set()
    assert condition._lock is lock and not condition.locked()
    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (2, 0, False)


class Jobs(asyncio.Queue):
    """A subclass with a state of its own."""

    label = None


def queues():
    made = [Jobs(3), asyncio.PriorityQueue(), asyncio.LifoQueue()]
    made[0].label = "mine"
    for number in (2, 1, 3):
        for one in made:
            one.put_nowait(number)
    return made


@case(queues)
def asyncio_queues(made):
    assert made[0].label == "mine" and made[0].full()
    assert [[one.get_nowait() for _ in range(3)] for one in made] == [[2, 1, 3], [1, 2, 3], [3, 1, 2]]
    assert made[0]._unfinished_tasks == 3


def thread_locks():
    locks = threading.Lock(), threading.RLock(), threading.Event(), threading.Semaphore(2), queue.Queue()
    locks[0].acquire()
    locks[1].acquire()
    locks[2].set()
    locks[4].put("job")
    return *locks, threading.Condition(locks[1])


@case(thread_locks)
def locks_of_threads(value):
    lock, reentrant, event, bounded, jobs, condition = value
    assert lock.locked() and event.is_set() and jobs.get_nowait() == "job"
    with condition:
        condition.notify_all()
    reentrant.release()
    assert bounded.acquire(blocking=False) and bounded.acquire(blocking=False) and not bounded.acquire(blocking=False)


# what is there once


@case(lambda: (json, os.path, logging.getLogger("shop.orders"), logging.root))
def modules_and_loggers(value):
    assert value == (json, os.path, logging.getLogger("shop.orders"), logging.root)
    assert value[2] is logging.getLogger("shop.orders")


@case(lambda: asyncio.get_running_loop())
def event_loop(loop):
    assert loop is asyncio.get_running_loop()


SENTINEL = object()


@case(lambda: (SENTINEL, ..., NotImplemented, type(None), int | None, list[int]))
def singletons(value):
    assert value == (SENTINEL, ..., NotImplemented, type(None), int | None, list[int])


# references, views, iterators


class Node:
    pass


def references():
    node, nodes = Node(), weakref.WeakValueDictionary()
    nodes["node"] = node
    return node, weakref.ref(node), nodes, weakref.WeakSet([node]), weakref.WeakKeyDictionary({node: 1}), dead()


def dead():
    return weakref.ref(Node())


@case(references)
def weak_references(value):
    node, reference, nodes, members, keys, gone = value
    assert reference() is node and dict(nodes) == {"node": node} and list(members) == [node] and keys[node] == 1
    assert gone() is None


def finalized():
    node, called = Node(), []
    return [node], called, weakref.finalize(node, called.append, "gone")


@case(finalized)
def finalizers(value):
    nodes, called, finalizer = value
    assert finalizer.alive and not called
    nodes.clear()
    assert called == ["gone"] and not finalizer.alive


@case(lambda: memoryview(bytearray(b"abcdef"))[2:4], is_saved=False)
def view_of_a_part(view):
    assert bytes(view) == b"cd"


def views():
    data, buffer = {"a": 1}, bytearray(b"abc")
    return data, data.keys(), data.items(), types.MappingProxyType(data), buffer, memoryview(buffer)


@case(views)
def views_of_data(value):
    data, keys, items, proxy, buffer, view = value
    data["b"] = 2
    assert list(keys) == ["a", "b"] and list(items) == [("a", 1), ("b", 2)] and proxy["b"] == 2
    view[0] = ord("x")
    assert buffer == b"xbc"


def half_way():
    made = [iter([1, 2, 3]), reversed([3, 2, 1]), enumerate("abc"), zip("abc", "def", strict=True)]
    made += [iter({"k": 1, "l": 2, "m": 3}), map(str, range(3)), filter(None, [1, 2, 3]), iter(range(3))]
    for one in made:
        next(one)
    return made


@case(half_way)
def iterators(made):
    expected = [[2, 3], [2, 3], [(1, "b"), (2, "c")], [("b", "e"), ("c", "f")], ["l", "m"], ["1", "2"], [2, 3], [1, 2]]
    assert [list(one) for one in made] == expected


@case(lambda: itertools.islice(itertools.count(3), 10))
def iterators_of_itertools(made):
    assert next(made) == 3


@case(lambda: (number * 2 for number in range(3)))
def generator(made):
    assert list(made) == [0, 2, 4]


@case(lambda: (re.compile(r"(\w+)@(?P<host>\w+)"), re.search(r"(?<=x)b+", "axbbc"), re.fullmatch("a|ab", "ab")))
def regular_expressions(value):
    pattern, found, full = value
    assert pattern.match("me@here")["host"] == "here"
    assert (found.span(), found.string, found[0], full[0]) == ((2, 4), "axbbc", "bb", "ab")


# classes and their objects


class Color(enum.Enum):
    RED = enum.auto()


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass(slots=True)
class Slotted:
    left: int
    right: list[int]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    items: list[object] = dataclasses.field(default_factory=list, compare=False)


class HandMade:
    __slots__ = ("__hidden", "__weakref__", "shown")

    def __init__(self):
        self.__hidden, self.shown = 1, self

    def hidden(self):
        return self.__hidden


def slotted():
    frozen, made = Frozen(), HandMade()
    frozen.items.append(frozen)
    return frozen, made, weakref.ref(made)


@case(slotted)
def objects_with_slots(value):
    frozen, made, reference = value
    assert frozen.items[0] is frozen and made.shown is made and made.hidden() == 1 and reference() is made


class Point(NamedTuple):
    x: int
    y: int


class Shelf(dict):
    """A dictionary with attributes."""


def objects():
    shelf = Shelf(a=1)
    shelf.owner = shelf
    return Color.RED, Access.READ | Access.WRITE, Slotted(1, [2]), Point(3, 4), shelf


@case(objects)
def objects_of_classes(value):
    color, access, slotted, point, shelf = value
    assert color is Color.RED and access == Access.READ | Access.WRITE
    assert slotted == Slotted(1, [2]) and type(point) is Point and point.y == 4
    assert shelf.owner is shelf and shelf["a"] == 1


def local_class():
    @dataclasses.dataclass
    class Local:
        value: int

        def double(self):
            return 2 * self.value

    return Local(4), Local


@case(local_class)
def object_of_a_local_class(value):
    made, cls = value
    assert type(made) is cls and made.double() == 8 and made == cls(4)


def pydantic_model():
    import pydantic

    class Order(pydantic.BaseModel):
        id: int
        tags: list[str] = []

    return Order(id=3, tags=["x"])


@case(pydantic_model)
def model_of_pydantic(order):
    assert order.model_dump() == {"id": 3, "tags": ["x"]}


def generic_models():
    import pydantic

    from .kinds import Box, Frozen

    box = Box[int](item=1, extra=2)
    box._hidden.append(box)

    class Local(pydantic.BaseModel):
        number: int
        _private: int = pydantic.PrivateAttr(3)

        @pydantic.field_validator("number")
        @classmethod
        def doubled(cls, number):
            return 2 * number

    return box, Box[int], Box[Frozen](item=Frozen(item=4)), Local(number=1), Local


@case(generic_models)
def models_of_pydantic(value):
    box, kind, nested, local, Local = value
    from .kinds import Box, Frozen

    assert type(box) is kind is Box[int] and box._hidden[0] is box and (box.item, box.extra) == (1, 2)
    assert type(nested) is Box[Frozen] and nested.item == Frozen(item=4)
    assert (local.number, local._private, Local(number=2).number) == (2, 3, 4) and type(local) is Local


def attrs_object():
    from .kinds import Defined

    made = Defined(1)
    made.b.append(made)
    return made


@case(attrs_object)
def object_of_attrs(made):
    from .kinds import Defined

    assert type(made) is Defined and made.b[0] is made


def local_attrs_class():
    import attrs

    @attrs.define
    class Local:
        a: int

    return Local(1)


@case(local_attrs_class, is_saved=False)
def object_of_a_local_attrs_class(made):
    assert made == type(made)(1)


def arrays():
    import numpy as np

    matrix = np.arange(6).reshape(2, 3)
    return matrix, matrix.dtype, np.float64(0.5)


@case(arrays)
def arrays_of_numpy(value):
    matrix, kind, number = value
    assert matrix.tolist() == [[0, 1, 2], [3, 4, 5]] and matrix.dtype == kind and number == 0.5


def frame():
    import pandas

    return pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})


@case(frame)
def dataframe(data):
    assert data.to_dict("list") == {"a": [1, 2], "b": ["x", "y"]}


def mock():
    made = unittest.mock.Mock()
    made.pay.return_value = 3
    made.pay("one")
    return made


@case(mock, is_saved=False)
def mocks(made):
    made.pay.assert_called_once_with("one")


class TooShort(ValueError):
    def __init__(self, text, *, limit):
        super().__init__(f"{text!r} has less than {limit} characters")
        self.text, self.limit = text, limit


def raised():
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            error = TooShort("ab", limit=3)
            error.add_note("a note")
            raise error from inner
    except TooShort as error:
        return error


@case(raised)
def exception_with_an_init(error):
    assert (error.text, error.limit, str(error)) == ("ab", 3, "'ab' has less than 3 characters")
    assert isinstance(error.__cause__, KeyError) and error.__notes__ == ["a note"]


# functions


def counter():
    count = 0

    def increase(by=1):
        nonlocal count
        count += by
        return count

    increase()
    return increase, functools.partial(increase, by=10), [].append, "x".upper, len, struct.Struct("<I").pack(1)


@case(counter)
def functions(value):
    increase, by_ten, append, upper, length, packed = value
    assert (increase(), by_ten(), increase()) == (2, 12, 13)
    assert upper() == "X" and length(packed) == 4 and append.__self__ == []


# plain objects of the standard library


def plain():
    return [
        datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        datetime.datetime(2026, 3, 29, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"), fold=1),
        decimal.Decimal("1.10"),
        uuid.UUID(int=3),
        pathlib.Path("a/b"),
        collections.Counter("aab"),
        collections.deque([1, 2], maxlen=2),
        array.array("i", [1]),
        frozenset({1}),
        types.SimpleNamespace(a=1),
        struct.Struct("<I").format,
        range(3),
        slice(1, 2),
        complex(1, 2),
    ]


@case(plain)
def plain_values(values):
    assert values == plain()


@case(lambda: (random.Random(3), random.Random(3).random()))
def random_numbers(value):
    chance, first = value
    assert chance.random() == first


@case(lambda: struct.Struct("<I"))
def packer(made):
    assert made.pack(1) == b"\1\0\0\0"


REQUEST: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")


def other_context():
    context = contextvars.copy_context()
    context.run(REQUEST.set, "r-7")
    return REQUEST, context


@case(other_context)
def context_variables(value):
    variable, context = value
    assert variable is REQUEST and context[REQUEST] == "r-7"

"""Functions that are killed while they handle an exception.

Each is given `pause`: the process dies there, and another one goes on.  What a function returns must be
what it returns when nobody dies.
"""

import asyncio
import json
import logging
import re
import socket
import subprocess
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

Pause = Callable[[], Awaitable[None]]
FLIGHTS: dict[str, Callable[[Pause], Awaitable[Any]]] = {}


def flight(function: Callable[[Pause], Awaitable[Any]]):
    FLIGHTS[function.__name__] = function
    return function


def printed(error):
    """The lines of a traceback, as far as they are of this file."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    own = [index for index, line in enumerate(lines) if __file__ in line]
    shown = [line for index in own for line in lines[index : index + 3]]
    texts = [line for line in lines if not line.lstrip(" |+-").startswith(("File ", "^", "~"))]
    return shown, [line for line in texts if "Error" in line or "note" in line or "cause" in line or "during" in line]


def facts(error):
    """What a handler can see of an exception."""
    names = ["a", "code", "errno", "filename", "strerror", "start", "reason", "lineno", "offset", "text", "value"]
    names += ["name", "obj", "doc", "pos", "returncode", "cmd", "expected", "partial", "limit", "__notes__"]
    names += ["__suppress_context__"]
    links = [type(link).__name__ for link in (error.__cause__, error.__context__)]
    found = {
        name: re.sub(r"fd=\d+|0x\w+", "", repr(getattr(error, name)))
        for name in names
        if getattr(error, name, None) is not None
    }
    kinds = [base.__qualname__ for base in type(error).__mro__ if base.__module__ == "builtins"]
    return type(error).__qualname__, str(error), kinds, found, links


@flight
async def bare_raise_with_its_chain(pause):
    def fail():
        raise KeyError("inner")

    try:
        try:
            try:
                fail()
            except KeyError as inner:
                error = ValueError("outer")
                error.add_note("a note")
                raise error from inner
        except ValueError:
            await pause()
            raise
    except ValueError as error:
        return facts(error), printed(error), facts(error.__cause__)


@flight
async def what_sys_says(pause):
    try:
        raise OSError(2, "gone", "path")
    except OSError as error:
        await pause()
        kind, value, trace = sys.exc_info()
        seen = value is error and sys.exception() is error
        return seen, kind.__name__, facts(value), [line.lineno for line in traceback.extract_tb(trace)]


@flight
async def finally_that_was_entered_by_an_error(pause):
    seen = []
    try:
        try:
            raise ValueError("passing through")
        finally:
            await pause()
            seen.append(str(sys.exception()))
    except ValueError as error:
        return seen, facts(error), printed(error)


@flight
async def groups(pause):
    seen = []
    try:
        try:
            group = ExceptionGroup("many", [ValueError(1), OSError(2, "no"), ExceptionGroup("in", [ValueError(3)])])
            group.add_note("of the group")
            raise group
        except* ValueError as values:
            await pause()
            seen.append([str(error) for error in values.exceptions])
            raise KeyError("instead") from None
        except* OSError as errors:
            seen.append(facts(errors.exceptions[0]))
            raise
    except ExceptionGroup as rest:
        return seen, facts(rest), [facts(error) for error in rest.exceptions], printed(rest)


@flight
async def a_local_class(pause):
    class TooShort(ValueError):
        def __init__(self, *, limit):
            super().__init__(f"less than {limit}")
            self.limit = limit

    try:
        try:
            raise TooShort(limit=3)
        except ValueError as error:
            await pause()
            seen = isinstance(error, TooShort)
            raise
    except TooShort as error:
        return seen, facts(error)


class Refused(ConnectionError):
    """Holds what cannot be saved."""

    def __init__(self, opened, text):
        super().__init__(text, opened)
        self.opened, self.code = opened, 7

    def __str__(self):
        return f"refused by {self.opened.family.name}"


@flight
async def what_cannot_be_saved(pause):
    with socket.socket() as opened:
        try:
            try:
                raise Refused(opened, "no") from ValueError(opened.family)
            except OSError:
                del opened
                await pause()
                raise
        except Refused as error:
            return facts(error), printed(error)


class Slots(Exception):
    __slots__ = ("a",)

    def __init__(self, a):
        self.a = a


class OwnNew(Exception):
    def __new__(cls, *, code):
        error = super().__new__(cls)
        error.code = code
        return error

    def __init__(self, *, code):
        super().__init__("code")


class BadReduce(Exception):
    def __init__(self, a, code):
        super().__init__(a)
        self.code = code

    def __reduce__(self):
        return BadReduce, ()


class NoReduce(Exception):
    def __reduce__(self):
        raise TypeError("never")


class Group(ExceptionGroup):
    def __new__(cls, errors, code):
        group = super().__new__(cls, "own", errors)
        group.code = code
        return group

    def derive(self, errors):
        return Group(errors, self.code)


def odd_exceptions():
    yield lambda: Slots(3)
    yield lambda: OwnNew(code=4)
    yield lambda: BadReduce(1, 2)
    yield lambda: NoReduce("x")
    yield lambda: Group([ValueError(1)], 5)
    yield lambda: open("/nowhere/at/all")  # noqa: SIM115
    yield lambda: b"\xff".decode()
    yield lambda: compile("a b", "f", "exec")
    yield lambda: json.loads("{")
    yield lambda: subprocess.CalledProcessError(1, "ls", b"out")
    yield lambda: asyncio.IncompleteReadError(b"x", 3)
    yield lambda: __import__("nowhere.at.all")
    yield lambda: object().nothing
    yield lambda: nothing  # noqa: F821
    yield lambda: StopIteration(5)
    yield lambda: SystemExit(3)
    yield lambda: validation_error()


def validation_error():
    try:
        import pydantic
    except ImportError:
        return ValueError("no pydantic")
    return pydantic.TypeAdapter(int).validate_python("x")


@flight
async def odd_exceptions_one_by_one(pause):
    caught = []
    for make in list(odd_exceptions()):
        try:
            made = make()
            if isinstance(made, BaseException):
                raise made
        except BaseException as error:
            caught.append(error)
    await pause()
    return [facts(error) for error in caught]


@flight
async def leaving_through_a_finally(pause):
    async def inner():
        for number in range(3):
            try:
                if number:
                    return f"returned {number}"
            finally:
                if number:
                    await pause()
        return "never"

    return await inner()


@flight
async def logging_in_a_handler(pause):
    records = []

    class Handler(logging.Handler):
        def emit(self, record):
            records.append((record.getMessage(), record.exc_info[0].__name__, record.funcName))

    try:
        raise ValueError("logged")
    except ValueError:
        await pause()
        log = logging.Logger("own")
        log.addHandler(Handler())
        log.exception("it happened")
    return records

"""What an instance or a branch does or waits for, as a phrase."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from ..runtime.call_stack import Waiting
from ..state.schema import Record, Status


def doing(record: Record, waiting: Waiting = ()) -> str:
    """What an instance does or waits for.

    >>> doing(Record("order-7", "shop:order", Status.WAITING, awaited=("paid",)))
    "waits for event 'paid'"
    """
    match record.status:
        case Status.WAITING | Status.PAUSED if record.awaited:
            return _event(record.awaited, record.wakes_at)
        case Status.SLEEPING if record.wake_at is not None:
            return f"sleeps until {moment(record.wake_at)}"
        case Status.ENQUEUED if record.is_held:
            return "waits for its turn in a queue"
        case Status.ERROR:
            return last_line(record.error)
        case Status.RUNNING:
            return phrase(waiting)
    return ""


def phrase(waiting: Waiting) -> str:
    """What a branch does or waits for.

    >>> phrase(("value", 7))
    'this await is done, and gave 7'
    """
    match waiting:
        case ("value", value):
            return f"this await is done, and gave {_short(value)}"
        case ("error", error):
            return f"this await raised {_short(error)}"
        case ("event", str(name), deadline):
            return _event((name,), deadline)
        case ("sleep", float(due), _):
            return f"sleeps until {moment(due)}"
        case ("step", _, _, _, _, int(attempt), float(due), _):
            return f"waits until {moment(due)} for attempt {attempt} of this step"
        case ("step" | "again", *_):
            return "is in the middle of this step, which runs again whole"
        case ("await", awaited):
            return f"waits for {_short(awaited)}"
        case ("start",):
            return "has not finished a step"
    return ""


def _event(names: Sequence[str], deadline: float | None) -> str:
    until = "" if deadline is None else f" until {moment(deadline)}"
    return f"waits for event {' or '.join(map(repr, names))}{until}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def moment(seconds: float) -> str:
    """A time of the clock for people, in the local zone.

    >>> moment(0).startswith("1970-01-01") or moment(0).startswith("1969-12-31")
    True
    """
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def last_line(error: str | None) -> str:
    """The line of a traceback that says what was raised."""
    lines = [line for line in (error or "").splitlines() if line.strip()]
    return next((line for line in reversed(lines) if not line.startswith(" ")), "")

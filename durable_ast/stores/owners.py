"""Who owns an instance: a store in a process on a machine, and whether it is still there."""

from __future__ import annotations

import functools
import itertools
import os
import socket
import weakref
from pathlib import Path


class Owner:
    """An owner in this process, from its creation to its end.

    >>> one, two = Owner(), Owner()
    >>> is_alive(one.name), one.name == two.name
    (True, False)
    >>> two.end()
    >>> is_alive(two.name)
    False
    """

    def __init__(self) -> None:
        self._number = next(_numbers)
        self._pid = 0
        self._name = ""
        _here[self._number] = self

    @property
    def name(self) -> str:
        """Its name, which no other owner has; another one after a fork."""
        pid = os.getpid()
        if pid != self._pid:
            self._pid, self._name = pid, f"{_process(pid)}/{self._number}"
        return self._name

    def end(self) -> None:
        """It owns nothing any more."""
        _here.pop(self._number, None)


_numbers = itertools.count(1)
_here: weakref.WeakValueDictionary[int, Owner] = weakref.WeakValueDictionary()


@functools.cache
def _process(pid: int) -> str:
    return f"{_machine()}/{pid}/{_started(pid)}"


@functools.cache
def _machine() -> str:
    """This machine since it was last started."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = "-"
    return f"{socket.gethostname()}/{boot}"


def _started(pid: int) -> str:
    """When a process was started, as far as the system tells: process ids are used again."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "-"
    return fields[19]


def is_alive(owner: str) -> bool:
    """Whether an owner is still there; one on another machine is taken to be."""
    process, _, number = owner.rpartition("/")
    machine, pid, started = process.rsplit("/", 2)
    if machine.partition("/")[0] != socket.gethostname():
        return True
    if machine != _machine():
        return False  # the machine was started again
    if int(pid) == os.getpid():
        return int(number) in _here and _started(os.getpid()) == started
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _started(int(pid)) == started

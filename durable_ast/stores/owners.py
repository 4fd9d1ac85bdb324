"""Who owns an instance: a process on a machine, and whether it is still alive."""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path


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


def this_process() -> str:
    """The name of this process as an owner.

    >>> is_alive(this_process())
    True
    """
    pid = os.getpid()
    return f"{_machine()}/{pid}/{_started(pid)}"


def is_alive(owner: str) -> bool:
    """Whether a process is still there; one on another machine is taken to be."""
    machine, pid, started = owner.rsplit("/", 2)
    if machine.partition("/")[0] != socket.gethostname():
        return True
    if machine != _machine():
        return False  # the machine was started again
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _started(int(pid)) == started

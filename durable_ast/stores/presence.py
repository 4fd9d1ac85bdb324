"""Who of the users of a file is there: each holds a lock, which ends with its process.

The operating system tells, so it does not matter whether the others are in the same process, in
another container with names and process ids of its own, or on another machine with which the file is
shared: where SQLite's own locks work, these do.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import uuid
import weakref
from pathlib import Path

from ..errors import StoreError
from . import process
from .disk_lock import FileLock


class Presence:
    """One user of a file.

    Args:
        folder: where each has a file that it keeps locked; None if there are no others.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> one, two = Presence(Path(folder.name) / "owners"), Presence(Path(folder.name) / "owners")
    >>> one.is_there(two.name), one.name == two.name
    (True, False)
    >>> name = two.name
    >>> two.end()
    >>> one.is_there(name), one.is_there(one.name)
    (False, True)
    >>> one.end()
    >>> folder.cleanup()
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._pid = 0
        self._name = ""
        self._lock: FileLock | None = None
        _present.add(self)

    @property
    def name(self) -> str:
        """Its name, which no other has; another one after a fork.  It is there from now on."""
        if self._pid != process.number:
            name = uuid.uuid4().hex
            if self._folder is not None:
                self._lock = _locked(self._folder, name)
            self._pid, self._name = process.number, name  # only now: without its lock, others take it for dead
        return self._name

    def is_there(self, name: str) -> bool:
        """Whether the user of that name is still there."""
        if name == self.name or self._folder is None:
            return name == self.name
        try:
            descriptor = os.open(self._folder / name, os.O_RDONLY)
        except FileNotFoundError:
            return False
        except PermissionError:
            return True  # it is another user's, and cannot be asked
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def forget(self, name: str) -> None:
        """Tidy up behind one who is not there any more."""
        if self._folder is not None:
            (self._folder / name).unlink(missing_ok=True)

    def end(self) -> None:
        """It is there no more."""
        if self._lock is None or self._folder is None or self._pid != process.number:
            return
        self.forget(self._name)
        self._lock.close()
        self._lock, self._pid = None, 0
        with contextlib.suppress(OSError):  # others are still there
            self._folder.rmdir()


def _locked(folder: Path, name: str) -> FileLock:
    """The lock of a user of that name.

    Raises:
        StoreError: it cannot be had.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        return FileLock(folder / name)
    except OSError as error:
        raise StoreError(f"{folder} has no place for a lock: {error}") from error


_present: weakref.WeakSet[Presence] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    for presence in list(_present):
        presence.end()

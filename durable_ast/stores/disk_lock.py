"""A file that is locked as long as the process lives, or until it is closed.

The lock belongs to the open file, not to the process: a second attempt by the same process is
refused like any other's.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from .claiming import InstanceBusy


class FileLock:
    """Locks a file, which is made if it is not there.

    Raises:
        InstanceBusy: somebody else has it.
        OSError: the file system has no locks, or cannot make the file.
    """

    _descriptor = -1  # of the class, for what is deleted before it was made

    def __init__(self, file: Path) -> None:
        _locks.add(self)
        while self._descriptor < 0:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                    self._descriptor = descriptor
                    return
            except FileNotFoundError:
                pass  # the file was deleted between the two, and a lock on it is none
            except BlockingIOError as error:
                os.close(descriptor)
                raise InstanceBusy from error
            except OSError:  # nobody has it, and whoever waited for that would wait for ever
                os.close(descriptor)
                raise
            os.close(descriptor)

    def close(self, _close: Callable[[int], None] = os.close) -> None:
        """Let others have it."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            _close(descriptor)  # when the interpreter ends, the module may be gone before its locks

    def __enter__(self) -> FileLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


_locks: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _let_go() -> None:
    """A process that was forked off has copies of the descriptors, with which it would keep the locks of a
    parent that is gone."""
    for lock in list(_locks):
        lock.close()


os.register_at_fork(after_in_child=_let_go)

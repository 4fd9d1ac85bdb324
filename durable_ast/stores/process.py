"""Which process this is.  After a fork it is another one: it has the files of the first, but none of
its threads.

A store asks with each checkpoint, and asking the system took longer than most of what it does there.
"""

from __future__ import annotations

import os

number = os.getpid()


def _forked() -> None:
    global number
    number = os.getpid()


os.register_at_fork(after_in_child=_forked)

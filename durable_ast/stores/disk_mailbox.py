"""The mailbox of an instance as a folder: one file for each message, named by its number.

A message from another instance counts only once the checkpoint that sends it is written.  It is put
down first as ``NUMBER.TOKEN.held``, which nobody reads as a message; the sender's checkpoint names
the token; then the file is renamed.  Who finds it held can tell from the sender's checkpoint whether
it was sent, so it arrives once or not at all, wherever the sender dies.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..state.schema import Message, Outgoing
from .disk_file import pack, unpack


@dataclass(frozen=True, slots=True)
class Held:
    """A message that was put down and may not have been sent."""

    file: Path
    token: str
    sender: str

    def deliver(self) -> None:
        """It was sent: make it a message."""
        _rename(self.file, self.file.with_name(f"{self.file.name.partition('.')[0]}.pkl"))

    def discard(self) -> None:
        """It was not sent, and never will be."""
        self.file.unlink(missing_ok=True)


def publish(folder: Path, name: str, payload: bytes) -> int:
    """Add a message; gives its number once it is on disk."""
    number = _next_number()
    _put(folder, f"{number}.pkl", (name, payload))
    return number


def hold(folder: Path, message: Outgoing, sender: str, token: str) -> str:
    """Put a message down that is not sent yet; gives the name of its file."""
    name = f"{_next_number()}.{token}.held"
    _put(folder, name, (message.name, message.payload, sender))
    return name


def deliver(folder: Path, name: str) -> None:
    """Make a held message a message, unless it is one already."""
    _rename(folder / name, folder / f"{name.partition('.')[0]}.pkl")


def messages(folder: Path) -> Iterator[Message]:
    """The messages, oldest first."""
    for number, file in sorted((int(file.stem), file) for file in folder.glob("*.pkl")):
        try:
            name, payload, *_ = unpack(file.read_bytes(), file)
        except FileNotFoundError:
            continue  # consumed just now
        yield Message(number, name, payload)


def held(folder: Path) -> Iterator[Held]:
    """The messages that were put down by others."""
    for file in folder.glob("*.held"):
        try:
            _, _, sender = unpack(file.read_bytes(), file)
        except FileNotFoundError:
            continue  # sent just now
        yield Held(file, file.name.split(".")[1], sender)


def remove(folder: Path, number: int) -> None:
    """A message was consumed."""
    (folder / f"{number}.pkl").unlink(missing_ok=True)


def private(path: str, flags: int) -> int:
    """An opener for `open`: state is private to its user."""
    return os.open(path, flags, 0o600)


def flush_folder(folder: Path) -> None:
    """A new name in a folder reaches the disk with the folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put(folder: Path, name: str, content: tuple[object, ...]) -> None:
    """Make a file, whole or not at all."""
    if not folder.exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        flush_folder(folder.parent)
    temporary = folder / f"{name}.tmp"
    with open(temporary, "xb", opener=private) as new:
        new.write(pack(content))
        new.flush()
        os.fsync(new.fileno())
    os.rename(temporary, folder / name)
    flush_folder(folder)


def _rename(old: Path, new: Path) -> None:
    try:
        os.rename(old, new)
    except FileNotFoundError:
        return
    flush_folder(new.parent)


_last = 0
_numbering = threading.Lock()


def _next_number() -> int:
    """Later than all of this process, and no other's."""
    global _last
    with _numbering:
        _last = max(_last + 1, time.time_ns())
        return (_last << 20) | random.getrandbits(20)

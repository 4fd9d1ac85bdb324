"""What will become of an instance with the code as it is now; nothing of it is run or imported."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..compiler.moved import may_go_on
from ..runtime.call_stack import FunctionCall
from ..runtime.functions import key_of
from .places import current, has_migration, stored
from .stacks import Saved


class Outlook(enum.StrEnum):
    """How an instance will go on; the later in this list, the worse."""

    SAME = "same"
    """Its code is what it was."""
    MOVES = "moves"
    """Its code was edited where it has not come to yet: it goes on in the new one."""
    MIGRATES = "migrates"
    """Its code was edited where it matters, and a `migrate` function beside it says how to go on in it."""
    FINISHES = "finishes"
    """Its code was edited where it matters: it ends in the one that it was started with, or is refused
    by a program that was made with ``on_change="refuse"``."""
    STUCK = "stuck"
    """It cannot go on here."""


_ORDER = list(Outlook)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What will become of an instance.

    Attributes:
        outlook: how it will go on.
        function: the qualified name of the function that decides it; empty if nothing was edited.
        reason: why, if nothing good.
    """

    outlook: Outlook
    function: str = ""
    reason: str = ""


def verdict_on(saved: Saved, folders: Sequence[str] | None = None) -> Verdict:
    """The worst that its calls come to.

    Args:
        saved: what a store keeps of it.
        folders: where to look for modules; `sys.path` if None.
    """
    try:
        calls = [call for stack in saved.stacks() for call in stack.calls]
    except Exception as error:  # whatever a damaged pickle raises
        return Verdict(Outlook.STUCK, reason=f"its checkpoint cannot be read: {error}")
    verdicts = [_verdict(call, saved.texts, folders) for call in calls]
    return max(verdicts, key=lambda verdict: _ORDER.index(verdict.outlook), default=Verdict(Outlook.SAME))


def _verdict(call: FunctionCall, texts: Mapping[str, str], folders: Sequence[str] | None) -> Verdict:
    key, version = key_of(call.ref), call.ref.rpartition("@")[2]
    now = current(key, texts.get(version), folders)
    if now.compiled is not None and now.compiled.version == version:
        return Verdict(Outlook.SAME)
    then = stored(call.ref, texts)
    known = {*call.locals, *call.cells}
    if now.compiled is not None and then is not None and may_go_on(then, now.compiled, call.block, known):
        return Verdict(Outlook.MOVES, key.qualname)
    if now.file is None or then is None:
        return Verdict(
            Outlook.STUCK, key.qualname, now.note or "it was edited, and the store does not have its old text"
        )
    if has_migration(now.file, key):
        return Verdict(Outlook.MIGRATES, key.qualname, "it was edited before the place where it stands")
    return Verdict(Outlook.FINISHES, key.qualname, now.note or "it was edited before the place where it stands")

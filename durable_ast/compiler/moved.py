"""May a call that stands in a function go on in an edited version of it?

It may if nothing was changed up to the point where it stands: then the numbers of the points, the
hidden names and all that is entered on the way there are the same in both.  What comes later in the
text is free, as long as it reads nothing that was not saved.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from .compiled import Compiled
from .constructs import Construct, InFinal
from .fingerprint import fingerprint, fingerprint_until, place_of
from .names import is_hidden


def may_go_on(old: Compiled, new: Compiled, block: int, saved: Container[str]) -> bool:
    """Whether a call of `old` that stands in `block`, with these variables, may go on in `new`.

    Before its first point (block 0) a call only has its arguments.
    """
    if old.lowered.flavour is not new.lowered.flavour:
        return False
    if block == 0:
        args = new.lowered.args
        every = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
        return all(arg is None or arg.arg in saved for arg in every)
    return (
        block <= len(new.lowered.points) and _way_to(old, block) == _way_to(new, block) and _is_saved(old, new, block)
    )


def _way_to(compiled: Compiled, block: int) -> tuple[Any, ...]:
    """All that leads to a point, and what is awaited there."""
    point = compiled.lowered.points[block - 1]
    around = [_facts(construct) for construct in compiled.constructs[block]]
    text = fingerprint_until(compiled.source.node.body, place_of(point.origin))
    return point.kind, fingerprint(point.origin), around, text


def _facts(construct: Construct) -> Any:
    if isinstance(construct, InFinal):
        completion = construct.completion
        return completion.kind, completion.error, completion.exits
    return construct


def _is_saved(old: Compiled, new: Compiled, block: int) -> bool:
    """Whether all that the new version may read was saved by the old one, or did not exist in it."""
    live, was_live = new.live[block], old.live[block]
    wanted, kept = {*live.locals, *live.cells}, {*was_live.locals, *was_live.cells}
    known = {*old.locals, *old.cells}
    return all(name in kept or (name not in known and not is_hidden(name)) for name in wanted)

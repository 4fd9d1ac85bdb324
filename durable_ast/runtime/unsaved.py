"""What to tell a user whose values cannot be saved: which variable, of what type, where, and what to do."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from ..compiler.names import is_hidden
from ..errors import NotPersistableWarning
from ..state import snapshot
from .call_stack import CallStack, FunctionCall
from .functions import resolve

_warned: set[tuple[str, int, str]] = set()

REMEDY = (
    "Create it where it is needed and let it go before the next await, open it in a `with` block (it is entered "
    "again after a crash), or tell durable_ast.resource() how to save it."
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Values that keep a checkpoint from being taken."""

    filename: str
    line: int
    what: str
    reason: str

    @property
    def text(self) -> str:
        """The whole story, for an error."""
        return f"{self.filename}:{self.line}: {self.what} cannot be saved ({self.reason}). {REMEDY}"

    def warn(self) -> None:
        """Say once that there is no checkpoint here."""
        if (self.filename, self.line, self.what) in _warned:
            return
        _warned.add((self.filename, self.line, self.what))
        warnings.warn_explicit(
            f"{self.what} cannot be saved ({self.reason}), so no checkpoint is taken while it is in use: a crash "
            f"meanwhile runs everything since the last checkpoint again. {REMEDY}",
            NotPersistableWarning,
            self.filename,
            self.line,
        )


def explain_unsaved(stack: CallStack, error: Exception) -> Problem:
    """Find out which value of a call stack could not be pickled."""
    for call in reversed(stack.stack):
        values = {**call.locals, **call.cells}
        for name, value in values.items():
            reason = _failure(value)
            if reason is not None:
                return _problem(call, _named(name, value), reason)
    reason = _failure(stack.waiting) or error
    what = "the value just awaited"
    if len(stack.waiting) > 1:
        what += f" ({type(stack.waiting[1]).__qualname__})"
    return _problem(stack.stack[-1], what, reason)


def _failure(value: object) -> Exception | None:
    try:
        snapshot.dumps(value)
    except Exception as error:
        return error
    return None


def _named(name: str, value: object) -> str:
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if not is_hidden(name):
        return f"local variable {name!r} ({kind})"
    known = {".cm": "the context manager", ".it": "the iterator of the loop", ".h": "the handled exception"}
    role = next((text for prefix, text in known.items() if name.startswith(prefix)), "an intermediate value")
    return f"{role} ({kind})"


def _problem(call: FunctionCall, what: str, reason: Exception) -> Problem:
    compiled = resolve(call.key, call.version).compiled
    line = compiled.lowered.origin.lineno  # type: ignore[attr-defined]
    if call.block:
        line = compiled.lowered.points[call.block - 1].origin.lineno  # type: ignore[attr-defined]
    text = " ".join(f"{type(reason).__name__}: {reason}".split())
    return Problem(compiled.source.filename, line, f"{what} of {call.key.qualname}()", text)

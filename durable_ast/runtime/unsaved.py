"""What to tell a user whose values cannot be saved: which variable, of what type, where, and what to do."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

from ..compiler.names import LOCAL, is_hidden
from ..errors import NotPersistableError, NotPersistableWarning
from ..state.snapshot import pickler
from .call_stack import CallStack, FunctionCall
from .frames import DrivenByHandError
from .functions import resolve
from .lost import Outside

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
        _warn_once(
            self.filename,
            self.line,
            f"{self.what} cannot be saved ({self.reason}), so no checkpoint is taken while it is in use: a crash "
            f"meanwhile runs everything since the last checkpoint again. {REMEDY}",
        )


def warn_driven_by_hand(error: DrivenByHandError) -> None:
    """Say once that there is no checkpoint inside of a coroutine that is not awaited."""
    _warn_once(
        error.filename,
        error.line,
        f"{error.what}, so no checkpoint is taken inside of it: a crash meanwhile runs everything since the last "
        "checkpoint again. Await it instead.",
    )


def _warn_once(filename: str, line: int, text: str) -> None:
    if (filename, line, text) not in _warned:
        _warned.add((filename, line, text))
        warnings.warn_explicit(text, NotPersistableWarning, filename, line)


def is_entering(stack: CallStack) -> bool:
    """Whether a manager is being entered: if nothing of that can be saved, it is entered once more."""
    return any(call.block in resolve(call.ref).compiled.managers.entering for call in stack.stack if call.block)


def explain_ended(ended: CallStack, starter: CallStack, error: Exception, names: Outside) -> Problem:
    """The same for a branch that has ended, and stands nowhere: `starter` is what has started it."""
    reason = _failure(ended.waiting, names)
    if reason is None:
        return explain_unsaved(starter, error, names)
    return _problem(starter.stack[-1], f"the result of a task ({_type_of(ended.waiting[1])})", reason)


def explain_unsaved(stack: CallStack, error: Exception, names: Outside) -> Problem:
    """Find out which value of a call stack could not be pickled.

    Args:
        stack: the stack.
        error: what was raised.
        names: names what need not be saved.
    """
    for call in reversed(stack.stack):
        values = {**call.locals, **call.cells}
        for name, value in values.items():
            reason = _failure(value, names)
            if reason is not None:
                return _problem(call, _named(name, value), reason)
    reason = _failure(stack.waiting, names) or error
    what = "the value just awaited"
    if len(stack.waiting) > 1:
        what += f" ({type(stack.waiting[1]).__qualname__})"
    return _problem(stack.stack[-1], what, reason)


def _failure(value: object, names: Outside) -> Exception | None:
    """Why a value cannot be saved."""
    try:
        pickler(io.BytesIO(), names).dump(value)
    except Exception as error:
        return error
    return None


def unsaved_result(stack: CallStack, step: str, reason: Exception) -> NotPersistableError:
    """The error of a step whose result cannot be saved."""
    problem = _problem(stack.stack[-1], f"the result of step {step} ({_type_of(stack.waiting[1])})", reason)
    return NotPersistableError(
        f"{problem.filename}:{problem.line}: {problem.what} cannot be saved ({problem.reason}), so the step would run "
        "again after a crash. Let it return plain data, tell durable_ast.resource() how to save its type, or make it "
        "an ordinary function"
    )


def _type_of(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


_ROLES = {"cm": "the context manager", "it": "the iterator of the loop", "h": "the handled exception"}


def _named(name: str, value: object) -> str:
    kind = _type_of(value)
    if not is_hidden(name):
        return f"local variable {name!r} ({kind})"
    roles = (text for kind, text in _ROLES.items() if name.startswith(f"{LOCAL}{kind}"))
    role = next(roles, "an intermediate value")
    return f"{role} ({kind})"


def _problem(call: FunctionCall, what: str, reason: Exception) -> Problem:
    compiled = resolve(call.ref).compiled
    line = compiled.lowered.origin.lineno  # type: ignore[attr-defined]
    if call.block:
        line = compiled.lowered.points[call.block - 1].origin.lineno  # type: ignore[attr-defined]
    text = " ".join(f"{type(reason).__name__}: {reason}".split())
    return Problem(compiled.source.filename, line, f"{what} of {call.key.qualname}()", text)

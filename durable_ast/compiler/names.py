"""The names that compiled code uses beside the user's own.

Every one begins with a dot.  ``compile()`` takes any string as an identifier, and no source
text can spell such a name, so it can neither clash with a user's variable nor be read by one;
a prefix test (`is_hidden`) keeps them out of ``locals()`` and of everything shown to users.

Two kinds: locals of the compiled function (temporaries, iterators, the block number), and free
variables that the runtime binds to functions of its own (`INTRINSICS`).  The locals begin with two dots:
what Python suggests for a misspelled name are locals whose names are near to it, and ``.b`` is to ``b``.
"""

LOCAL = ".."
"""What the names of hidden locals begin with."""

OPERAND = f"{LOCAL}t"
"""What the names of operands begin with."""

BLOCK = f"{LOCAL}b"
"""The local that holds the number of the suspension point being waited at."""

CELLS = f"{LOCAL}cs"
"""The local that holds the cells of the frame, in the order of `Unit.cell_names`."""

RETURN_VALUE = f"{LOCAL}rv"
"""The value of a ``return`` on its way out through a ``finally`` that suspends."""

REENTRY = f"{LOCAL}r"
"""Re-entry twin only: the point to go to, 0 once it is reached."""

CHILD = f"{LOCAL}c"
"""Re-entry twin only: what the point to go to awaits."""

SCRATCH = f"{LOCAL}x"
"""A name bound and used within one synthetic statement."""

LATE = f"{LOCAL}l"
"""Re-entry twin only: the locals that had to wait until a manager was entered again."""

UNBOUND = ".unbound"
"""Re-entry twin only: the mark for a local that was not bound at the checkpoint."""

INTRINSICS = (
    ".await",  # decide what an awaited object is: frame, step or pause
    ".pause",  # wait for the event of a raised pause
    ".Pause",  # the class whose raise is a pause
    ".iter",  # builtins.iter, whatever the user's module calls so
    ".once",  # an iterable that hands out one given iterator
    ".aiter",  # enter ``async for``
    ".anext",  # one step of ``async for``
    ".aenter",  # enter ``async with``
    ".aexit",  # leave ``async with``
    ".slice",  # builtins.slice
    ".merge",  # are the keywords of a call and a ``**mapping`` different ones?
    ".converted",  # a text that no conversion of an f-string changes
    ".visible",  # locals() and dir() without hidden names
    ".is_match",  # does an exception match the type of an except clause
    ".star",  # the state machine of a suspending ``except*``
    ".BaseException",
    ".StopAsyncIteration",
    ".AssertionError",
    UNBOUND,
    ".child",  # twin: what the saved point awaits, once everything around it is entered
    ".lost",  # twin: stands for a manager that has to be entered again
    ".enter",  # twin: enter a manager again
    ".reenter",  # twin: raise a saved exception to get back into its handler
    ".reentered",  # twin: give it back its traceback and context
    ".resumed",  # twin: an iterable that first repeats the current item, then goes on
    ".held",  # twin: a context manager that is already entered
)


def is_hidden(name: str) -> bool:
    """Whether `name` belongs to the compiler and is never shown to users."""
    return name.startswith(".")


def mangled(name: str, class_name: str | None) -> str:
    """`name` as the compiler spells it inside the body of class `class_name`.

    >>> mangled("__secret", "_Box")
    '_Box__secret'
    >>> mangled("__dunder__", "Box"), mangled("plain", "Box"), mangled("__secret", None)
    ('__dunder__', 'plain', '__secret')
    """
    if class_name is None or not name.startswith("__") or name.endswith("__") or "." in name:
        return name
    stripped = class_name.lstrip("_")
    return f"_{stripped}{name}" if stripped else name

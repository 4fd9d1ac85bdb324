"""Which nodes of a function hold a suspension point in the function's own scope.

Input:   the body of one function as the user wrote it.
Output:  `Suspensions`, a set of nodes; a node in it cannot be compiled as it stands.
Excludes: what nested functions, lambdas, classes and generator expressions do when *they* run.  Of
         these only the parts evaluated in the enclosing scope count (decorators, defaults, bases,
         the first iterable of a generator expression).

A ``raise`` is a suspension point too, because what it raises may be a pause: that is known only at
run time, and block numbers must follow from the text alone.  Left out is what the text makes
certain: a bare ``raise``, and the names of built-in exceptions.
"""

import ast
from collections.abc import Iterable
from typing import TypeAlias

from .build import children

OwnNodes: TypeAlias = dict[ast.AST, list[ast.AST]]
"""The nodes of a function's own scope, each with those directly below it, and before them."""

SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp)

# A fixed list: it must not depend on the Python that compiles, or a checkpoint could not move
# from one to another.
_BUILTIN_EXCEPTIONS = frozenset(
    [
        "ArithmeticError",
        "AssertionError",
        "AttributeError",
        "BaseException",
        "BaseExceptionGroup",
        "BlockingIOError",
        "BrokenPipeError",
        "BufferError",
        "BytesWarning",
        "ChildProcessError",
        "ConnectionAbortedError",
        "ConnectionError",
        "ConnectionRefusedError",
        "ConnectionResetError",
        "DeprecationWarning",
        "EOFError",
        "EncodingWarning",
        "EnvironmentError",
        "Exception",
        "ExceptionGroup",
        "FileExistsError",
        "FileNotFoundError",
        "FloatingPointError",
        "FutureWarning",
        "GeneratorExit",
        "IOError",
        "ImportError",
        "ImportWarning",
        "IndentationError",
        "IndexError",
        "InterruptedError",
        "IsADirectoryError",
        "KeyError",
        "KeyboardInterrupt",
        "LookupError",
        "MemoryError",
        "ModuleNotFoundError",
        "NameError",
        "NotADirectoryError",
        "NotImplementedError",
        "OSError",
        "OverflowError",
        "PendingDeprecationWarning",
        "PermissionError",
        "ProcessLookupError",
        "RecursionError",
        "ReferenceError",
        "ResourceWarning",
        "RuntimeError",
        "RuntimeWarning",
        "StopAsyncIteration",
        "StopIteration",
        "SyntaxError",
        "SyntaxWarning",
        "SystemError",
        "SystemExit",
        "TabError",
        "TimeoutError",
        "TypeError",
        "UnboundLocalError",
        "UnicodeDecodeError",
        "UnicodeEncodeError",
        "UnicodeError",
        "UnicodeTranslateError",
        "UnicodeWarning",
        "UserWarning",
        "ValueError",
        "Warning",
        "ZeroDivisionError",
    ]
)


def may_pause(node: ast.Raise) -> bool:
    """Whether `node` could raise a pause, as far as the text tells."""
    raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    if raised is None:
        return False
    return not (isinstance(raised, ast.Name) and raised.id in _BUILTIN_EXCEPTIONS)


def enclosing_parts(node: ast.AST) -> list[ast.AST]:
    """The parts of a nested scope that are evaluated in the scope around it, in order."""
    match node:
        case ast.Lambda(args=args):
            return [*args.defaults, *_present(args.kw_defaults)]
        case ast.ClassDef():
            return [*node.decorator_list, *node.bases, *node.keywords]
        case ast.FunctionDef(args=args) | ast.AsyncFunctionDef(args=args):
            return [*node.decorator_list, *args.defaults, *_present(args.kw_defaults)]
        case ast.GeneratorExp():
            return [node.generators[0].iter]
    raise TypeError(node)


def _present(nodes: list[ast.expr | None]) -> list[ast.expr]:
    return [node for node in nodes if node is not None]


class Suspensions:
    """The set; `node in suspensions` asks, `mark` adds a tree that a pass has made."""

    def __init__(self, own: OwnNodes, *, pausing: bool) -> None:
        self._pausing = pausing
        suspending: set[ast.AST] = set()
        for node in reversed(own):
            below = own[node]
            kind = type(node)
            if kind in _BY_ITSELF:
                found = self._suspends(node)
                if kind is ast.GeneratorExp:
                    below = enclosing_parts(node)
            else:
                found = False
            if found or (below and not suspending.isdisjoint(below)):
                suspending.add(node)
        self._known: dict[ast.AST, bool] = dict.fromkeys(own, False)
        self._known.update(dict.fromkeys(suspending, True))

    def __contains__(self, node: ast.AST | None) -> bool:
        return node is not None and self._known.get(node, False)

    def any(self, nodes: Iterable[ast.AST]) -> bool:
        """Whether one of the nodes is in the set."""
        return any(self._known.get(node, False) for node in nodes)

    def mark(self, node: ast.AST) -> bool:
        """Look through `node`, remember which of its nodes suspend, and tell whether it does."""
        if type(node) in _LEAVES:
            return False
        known = self._known.get(node)
        if known is None:
            known = self._known[node] = self._look(node)
        return known

    def _look(self, node: ast.AST) -> bool:
        found = type(node) in _BY_ITSELF and self._suspends(node)
        below = enclosing_parts(node) if isinstance(node, (*SCOPES, ast.GeneratorExp)) else children(node)
        for child in below:
            found = self.mark(child) or found
        return found

    def _suspends(self, node: ast.AST) -> bool:
        """Whether one of these nodes suspends, whatever is below it."""
        match node:
            case ast.Raise():
                return self._pausing and may_pause(node)
            case ast.ListComp() | ast.SetComp() | ast.DictComp():
                return any(generator.is_async for generator in node.generators)
        return not isinstance(node, ast.GeneratorExp)


_LEAVES = frozenset({ast.Name, ast.Constant, ast.Pass, ast.Break, ast.Continue})
_BY_ITSELF = frozenset(
    {ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Yield, ast.YieldFrom, ast.Raise, ast.GeneratorExp, *COMPREHENSIONS}
)
"""The classes of nodes that need more of a look than at what is below them."""


def yields(nodes: Iterable[ast.AST]) -> bool:
    """Whether a function with these nodes of its own is a generator."""
    return any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in nodes)

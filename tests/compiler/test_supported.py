"""The table of node classes is complete for the Python that runs, and what is not in it is refused by name."""

import ast

import pytest

from durable_ast import UnsupportedSyntaxError
from durable_ast.compiler.scope import own_nodes
from durable_ast.compiler.supported import TREATMENT, Treatment, check

ABSTRACT = {"AST", "mod", "stmt", "expr", "expr_context", "boolop", "operator", "unaryop", "cmpop", "excepthandler",
            "pattern", "type_ignore", "type_param", "slice"}  # fmt: skip
OF_OLD = {
    "Num",
    "Str",
    "Bytes",
    "NameConstant",
    "Ellipsis",
    "Index",
    "ExtSlice",
    "Suite",
    "AugLoad",
    "AugStore",
    "Param",
}
"""Names that `ast` keeps for programs from before Python 3.9; no parser makes such nodes."""


def node_classes():
    classes = [ast.AST]
    for kind in classes:
        classes.extend(kind.__subclasses__())
    return {kind.__name__ for kind in classes if kind.__module__ == "ast" or kind.__module__ == "_ast"}


def test_every_node_class_of_this_python_is_in_the_table():
    assert node_classes() - ABSTRACT - OF_OLD - set(TREATMENT) == set()


def test_the_statements_that_can_hold_a_suspension_are_lowered():
    simple = {"Import", "ImportFrom", "Global", "Nonlocal", "Pass", "TypeAlias"}
    statements = {kind.__name__ for kind in ast.stmt.__subclasses__() if kind.__module__ in ("ast", "_ast")}
    lowered = {name for name in statements if TREATMENT[name] is Treatment.LOWERED}
    assert statements - lowered == simple & statements


def test_a_construct_of_a_later_python_is_refused_by_name():
    class Defer(ast.stmt):
        """A statement that no Python has."""

    function = ast.parse("async def f():\n    await g()\n    pass").body[0]
    function.body[1] = Defer(lineno=3)
    with pytest.raises(UnsupportedSyntaxError, match=r"^jobs.py:3: f\(\) holds a Defer, which"):
        check(function, own_nodes(function), "jobs.py")


def test_what_stands_in_a_nested_function_is_not_looked_at():
    class Defer(ast.stmt):
        """A statement that no Python has."""

    function = ast.parse("async def f():\n    def g():\n        pass\n    await g()").body[0]
    function.body[0].body[0] = Defer()
    check(function, own_nodes(function), "jobs.py")

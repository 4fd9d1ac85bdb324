"""What CPython or the machine cannot compile is refused by name, never by an internal error."""

import linecache

import pytest

from durable_ast import UnsupportedSyntaxError, make_durable


def define(text, name="f"):
    """A function from text that has a place for `linecache`."""
    filename = f"<{text[:20]}...{len(text)}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    namespace = {"__name__": __name__}
    exec(compile(text, filename, "exec"), namespace)
    return namespace[name]


def test_more_nested_blocks_than_cpython_takes():
    items = ", ".join(f"open_{i}()" for i in range(18))
    function = define(f"async def f():\n    async with {items}:\n        await g()\n")
    with pytest.raises(UnsupportedSyntaxError, match=r":2: f\(\) has too many blocks inside one another"):
        make_durable(function)


def test_an_expression_nested_more_deeply_than_the_stack_is():
    function = define("async def f(x):\n    return " + "+".join(["await x()"] * 900) + "\n")
    with pytest.raises(UnsupportedSyntaxError, match=r":1: f\(\) is nested too deeply"):
        make_durable(function)

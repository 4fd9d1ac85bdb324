"""What the tests of branches have in common."""

import pathlib

import pytest


def pytest_collection_modifyitems(items):
    """A cut may, very rarely, meet a moment at which something of asyncio's own cannot be saved; it says
    so, and the run goes on from the last one.  What counts here is that nothing comes out otherwise."""
    for item in items:
        if pathlib.Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("default::durable_ast.NotPersistableWarning"))
            item.add_marker(pytest.mark.flaky(reruns=3))

"""An exception whose class is not there any more still says what happened."""

import sys
import types

import pytest

from durable_ast import CheckpointException, DurableBackend, PauseForEventException, make_durable, step, wait_for_event


@pytest.fixture
def vendor():
    """A module that may disappear."""
    module = types.ModuleType("vendor_of_errors")

    class Declined(ConnectionError):
        def __init__(self, *, code):
            super().__init__(f"declined with {code}")
            self.code = code

    Declined.__module__, Declined.__qualname__ = module.__name__, "Declined"
    module.Declined = Declined
    sys.modules[module.__name__] = module
    yield module
    sys.modules.pop(module.__name__, None)


@step
async def declined():
    raise sys.modules["vendor_of_errors"].Declined(code=7)


@make_durable
async def handles():
    try:
        await declined()
    except OSError as error:
        await wait_for_event("go")
        return type(error).__name__, str(error), error.code, isinstance(error, ConnectionError)


async def test_it_is_still_caught(vendor):
    backend = DurableBackend()
    with pytest.raises(PauseForEventException):
        await handles(orchestration_backend=backend, instance_id="it")
    del sys.modules[vendor.__name__]
    backend.publish_event("it", "go")
    found = await handles(orchestration_backend=backend, instance_id="it")
    assert found == ("Declined", "declined with 7", 7, True)


@make_durable
async def holds(module):
    value = sys.modules[module].Declined(code=7), sys.modules[module].Order()
    await wait_for_event("go")
    return str(value[0]), value[1].name


async def test_an_instance_that_needs_a_class_that_is_gone_says_so_and_is_kept(vendor):
    class Order:
        name = "tea"

    Order.__module__, Order.__qualname__ = vendor.__name__, "Order"
    vendor.Order = Order
    backend = DurableBackend()
    with pytest.raises(PauseForEventException):
        await holds(vendor.__name__, orchestration_backend=backend, instance_id="it")
    backend.publish_event("it", "go")
    del vendor.Order
    with pytest.raises(CheckpointException, match=r"instance 'it' of .*holds cannot be loaded: .*'Order'.* old name"):
        await holds(vendor.__name__, orchestration_backend=backend, instance_id="it")
    vendor.Order = Order
    found = await holds(vendor.__name__, orchestration_backend=backend, instance_id="it")
    assert found == ("declined with 7", "tea")

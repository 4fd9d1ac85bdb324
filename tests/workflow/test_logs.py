"""Log records that tell which run they are about, and where in it."""

import asyncio
import logging

import pytest

from durable_ast import InMemoryStore, Workflow
from durable_ast.backoff import constant
from durable_ast.workflow import RunFields

log = logging.getLogger("tests.shop")


@pytest.fixture
def lines():
    found = []

    class Kept(logging.Handler):
        def emit(self, record):
            fields = (record.instance, record.step, record.attempt, record.function, record.block)
            found.append((record.getMessage(), *fields))

    handler = Kept()
    handler.addFilter(RunFields())
    log.addHandler(handler)
    yield found
    log.removeHandler(handler)


async def label(number):
    await asyncio.sleep(0)
    log.warning("in a frame")
    return number


async def test_each_record_has_its_place(lines):
    wf = Workflow("shop", db=InMemoryStore(), default_retries=0, default_backoff=constant(0))

    @wf.task(name="ship", retries=1)
    async def ship():
        log.warning("in a step")
        if len(lines) == 3:
            raise OSError("once")

    @wf.task(name="weigh")
    def weigh():
        log.warning("in a thread")

    @wf.workflow(id="order-{number}")
    async def order(number):
        log.warning("at the start")
        await ship()
        await weigh()
        await label(number)
        log.warning("at the end")

    log.warning("before")
    await order(7)
    name = order.program.key.qualname
    assert lines == [
        ("before", None, None, None, None, None),
        ("at the start", "order-7", None, None, name, 0),
        ("in a step", "order-7", "ship", 1, name, 1),
        ("in a step", "order-7", "ship", 2, name, 1),
        ("in a thread", "order-7", "weigh", 1, name, 2),
        ("in a frame", "order-7", None, None, "label", 1),
        ("at the end", "order-7", None, None, name, 3),
    ]

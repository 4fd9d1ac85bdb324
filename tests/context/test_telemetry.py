"""What logging and OpenTelemetry say of the user's own code is true after a process has died."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.sdk.trace")

PROGRAM = """
import asyncio, logging, os, signal, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from durable_ast import DurableBackend, SQLiteStore, make_durable, step

class Print(SpanExporter):
    def export(self, spans):
        for span in spans:
            print("ended", span.name, flush=True)
        return SpanExportResult.SUCCESS

provider = TracerProvider()
provider.add_span_processor((BatchSpanProcessor if "batch" in sys.argv else SimpleSpanProcessor)(Print()))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("shop")

class Names(logging.Handler):
    def emit(self, record):
        task = getattr(record, "taskName", None) or asyncio.current_task().get_name()
        print("log", record.getMessage(), record.name, record.funcName, record.lineno - run.fn_line, task, flush=True)

log = logging.getLogger("shop.orders")
log.addHandler(Names())

@step
async def pack(name):
    return name

@step
async def gate():
    if "die" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)

def current():
    span = trace.get_current_span()
    return f"{getattr(span, 'name', None)}:{span.is_recording()}:{span.get_span_context().is_valid}"

async def branch(name):
    with tracer.start_as_current_span(name):
        await pack(name)
        await gate()
        log.warning(current())

async def whole():
    with tracer.start_as_current_span("order"):
        await pack("order")
        async with asyncio.TaskGroup() as group:
            for name in "ab":
                group.create_task(branch(name), name=f"task-{name}")
        asyncio.current_task().set_name("mine")
        await pack("again")
        log.warning(current())
    log.warning(current())

async def held():
    span = tracer.start_span("held")
    await pack("held")
    await gate()
    log.warning(f"{span.name}:{span.is_recording()}")
    span.end()

run = make_durable(globals()[sys.argv[1]])
run.fn_line = globals()[sys.argv[1]].__code__.co_firstlineno
backend = DurableBackend(SQLiteStore("store.db"))
asyncio.run(run(orchestration_backend=backend, instance_id="it"))
"""


def life(folder, *words):
    """What a process says; its own spans apart."""
    command = [sys.executable, "-W", "ignore", "program.py", *words]
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == (-signal.SIGKILL if "die" in words else 0), ran.stderr
    own = ("ended step ", "ended run ")
    return [line for line in ran.stdout.splitlines() if not line.startswith(own)]


@pytest.mark.parametrize("how", ["simple", "batch"])
def test_a_span_around_a_death_ends_once_and_is_the_current_one(tmp_path, how):
    (tmp_path / "program.py").write_text(PROGRAM)
    assert life(tmp_path, "whole", how, "die") == []
    said = life(tmp_path, "whole", how)
    assert sorted(line for line in said if line.startswith("ended")) == ["ended a", "ended b", "ended order"]
    assert sorted(line for line in said if line.startswith("log")) == [
        "log None:False:False shop.orders whole 9 mine",
        "log a:True:True shop.orders branch -2 task-a",
        "log b:True:True shop.orders branch -2 task-b",
        "log order:True:True shop.orders whole 8 mine",
    ]


@pytest.mark.parametrize("how", ["simple", "batch"])
def test_a_span_that_is_held_ends_once(tmp_path, how):
    (tmp_path / "program.py").write_text(PROGRAM)
    assert life(tmp_path, "held", how, "die") == []
    said = life(tmp_path, "held", how)
    assert said.count("ended held") == 1
    assert "log held:True shop.orders held 4 " in "\n".join(said)

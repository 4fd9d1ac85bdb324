"""Spans, where the application has set up OpenTelemetry."""

import asyncio
import subprocess
import sys

import pytest

trace = pytest.importorskip("opentelemetry.sdk.trace")

PROGRAM = """
import asyncio, os, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from durable_ast import Workflow
from durable_ast.backoff import constant

class Print(SpanExporter):
    def export(self, spans):
        for span in spans:
            print(f"{span.context.trace_id:032x}", span.status.status_code.name, span.name, flush=True)
        return SpanExportResult.SUCCESS

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(Print()))
trace.set_tracer_provider(provider)

wf = Workflow("w", db="spans.db", default_backoff=constant(0))
attempts = []

@wf.task(name="flaky")
async def flaky():
    attempts.append(1)
    if len(attempts) < 2:
        raise OSError("no")

@wf.task(name="last", retries=0)
async def last():
    trace.get_current_span().set_attribute("seen", True)
    if "die" in sys.argv:
        os._exit(9)
    if "fail" in sys.argv:
        raise ValueError("no")

@wf.workflow(id="it")
async def run():
    await flaky()
    await wf.signal("go")
    await last()

async def main():
    if sys.argv[1:]:
        await wf.complete("it", "go")
        try:
            await run()
        except ValueError:
            pass
        return
    handle = await wf.start(run)
    while (await handle.status()) != "WAITING":
        await asyncio.sleep(0.01)

asyncio.run(main())
"""


def spans(folder, *words):
    command = [sys.executable, "program.py", *words]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 9 * ("die" in words), ran.stderr
    return [line.split(" ", 2) for line in ran.stdout.splitlines()]


def test_each_span_is_seen_once_in_one_trace(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    lives = [spans(tmp_path, *words) for words in ((), ("die",), ("go",), ("go",))]
    assert [[(status, name) for _, status, name in life] for life in lives] == [
        [("ERROR", "step flaky"), ("UNSET", "step flaky")],
        [("UNSET", "pause go")],
        [("UNSET", "step last"), ("UNSET", "run __main__:run")],
        [],
    ]
    assert len({each[0] for life in lives for each in life}) == 1


def test_a_run_that_fails_has_a_span(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    spans(tmp_path)
    failed = [(status, name) for _, status, name in spans(tmp_path, "fail")]
    assert failed == [("UNSET", "pause go"), ("ERROR", "step last"), ("ERROR", "run __main__:run")]


async def test_nobody_pays_where_nobody_looks():
    from durable_ast import InMemoryStore, Workflow
    from durable_ast.runtime.spans import spans_of

    wf = Workflow("w", db=InMemoryStore())

    @wf.workflow(id="it")
    async def run():
        await asyncio.sleep(0)

    await run()
    assert spans_of(await wf.instances.read("it")) is None

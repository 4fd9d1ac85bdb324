"""Spans of runs, steps and pauses, where the application has set up OpenTelemetry.

Only its API is used, and only if the application has imported it: nothing is paid for it otherwise.
A step has a span for each attempt, a pause when the instance is past it, an instance when it has
ended; the latter two once that is stored, so whoever goes on does not show them again.  All spans
of an instance are in one trace, whose id is made from the instance: whichever process goes on, what
it does is seen there, and what is over is never seen again.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..state.schema import Record

_NOTHING = contextlib.nullcontext()


class Spans:
    """The spans of an instance.

    Args:
        trace: the module ``opentelemetry.trace``.
        record: the instance.
    """

    def __init__(self, trace: Any, record: Record) -> None:
        self._trace = trace
        self._tracer = trace.get_tracer("durable_ast")
        self._record = record
        seed = hashlib.sha256(f"{record.instance_id}\0{record.created_at}".encode()).digest()
        root = trace.SpanContext(
            int.from_bytes(seed[:16], "big"),
            int.from_bytes(seed[16:24], "big"),
            is_remote=True,
            trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
        )
        self._context = trace.set_span_in_context(trace.NonRecordingSpan(root))
        self._about = {"durable_ast.instance": record.instance_id, "durable_ast.program": record.program}

    def step(self, name: str, attempt: int) -> contextlib.AbstractContextManager[Any]:
        """Around an attempt of a step."""
        about = {**self._about, "durable_ast.attempt": attempt}
        span: contextlib.AbstractContextManager[Any] = self._tracer.start_as_current_span(
            f"step {name}", context=self._context, attributes=about
        )
        return span

    def paused(self, event: str, since: float) -> None:
        """A pause is over that began at a time, in seconds since 1970."""
        about = {**self._about, "durable_ast.event": event}
        self._span(f"pause {event}", since, about).end()

    def ended(self, error: BaseException | None) -> None:
        """The instance has ended."""
        span = self._span(f"run {self._record.program}", self._record.created_at, self._about)
        span.set_attribute("durable_ast.status", self._record.status.value)
        if error is not None:
            span.record_exception(error)
            span.set_status(self._trace.StatusCode.ERROR, str(error))
        span.end()

    def _span(self, name: str, since: float, about: dict[str, Any]) -> Any:
        return self._tracer.start_span(
            name, context=self._context, attributes=about, start_time=int(min(since, time.time()) * 1e9)
        )


def spans_of(record: Record) -> Spans | None:
    """The spans of an instance; None if nobody wants any."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    provider = type(trace.get_tracer_provider())
    if provider.__module__.startswith("opentelemetry.trace"):  # the API's own, which does nothing
        return None
    return Spans(trace, record)


def is_over(spans: Spans | None, event: str, since: float | None) -> None:
    """An instance is past a wait for an event; it has paused if there is a time since when."""
    if spans is not None and since is not None:
        spans.paused(event, since)


def around_step(spans: Spans | None, name: str, attempt: int) -> contextlib.AbstractContextManager[Any]:
    """Around an attempt of a step, whether anybody wants spans or not."""
    return _NOTHING if spans is None else spans.step(name, attempt)

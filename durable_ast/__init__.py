"""Async functions that survive the death of their process.

>>> import asyncio
>>> from durable_ast import DurableBackend, make_durable, wait_for_event
>>> @make_durable
... async def greet(name: str) -> str:
...     await wait_for_event("allow")
...     return f"hello {name}"
>>> async def main():
...     backend = DurableBackend()
...     backend.publish_event("greet-1", "allow")
...     return await greet("Ada", orchestration_backend=backend, instance_id="greet-1")
>>> asyncio.run(main())
'hello Ada'
"""

import importlib
from typing import TYPE_CHECKING, Any

from .backends.base import OrchestrationBackend
from .backends.durable import DurableBackend
from .compiler.code_block import CodeBlock
from .context import RunContext
from .errors import (
    AlreadyDurableException,
    CheckpointException,
    CodeChangedError,
    CorruptStateError,
    DurableError,
    InstanceConflictError,
    InvalidEventNameError,
    InvalidInstanceIdError,
    NewerFormatError,
    NoSourceCodeException,
    NotPersistableError,
    NotPersistableWarning,
    ParkedError,
    PauseForEventException,
    StaleOwnerError,
    StoreError,
    TamperedStateError,
    TransactionError,
    UnknownRunError,
    UnsupportedSyntaxError,
)
from .runtime import link
from .runtime.call_stack import CallStack, FunctionCall
from .runtime.current_step import current_step, step_key
from .runtime.events import sleep_until, wait_for_event
from .runtime.instance import Durability
from .runtime.journal import current_run
from .runtime.migrations import GoOn, OldCall, migrate
from .runtime.program import DurableProgram, explain, make_durable
from .runtime.reentry import persist, reenter
from .runtime.runtime import DurableRuntime
from .runtime.steps import step
from .runtime.transactions import transaction
from .state.resources import resource
from .state.schema import Status
from .stores.base import StateStore
from .stores.memory import InMemoryStateStore
from .stores.memory import InMemoryStateStore as InMemoryStore
from .stores.steps import Store

if TYPE_CHECKING:
    from . import backoff
    from .backoff import Backoff as BackoffStrategy  # noqa: F401
    from .backoff import constant, exponential, linear
    from .compiler.transform import DurableAstTransformer, transform_to_durable_ast
    from .stores.disk import DiskStateStore
    from .stores.postgres import PostgresStore as PostgresStore
    from .stores.redis import RedisStore as RedisStore
    from .stores.sqlite import SQLiteStore
    from .stores.urls import open_store
    from .worker.worker import Worker
    from .workflow import Handle, Run, Workflow, WorkflowFunction

__all__ = [
    "AlreadyDurableException",
    "CallStack",
    "CheckpointException",
    "CodeBlock",
    "CodeChangedError",
    "CorruptStateError",
    "DiskStateStore",
    "Durability",
    "DurableAstTransformer",
    "DurableBackend",
    "DurableError",
    "DurableProgram",
    "DurableRuntime",
    "FunctionCall",
    "GoOn",
    "Handle",
    "InMemoryStateStore",
    "InMemoryStore",
    "InstanceConflictError",
    "InvalidEventNameError",
    "InvalidInstanceIdError",
    "NewerFormatError",
    "NoSourceCodeException",
    "NotPersistableError",
    "NotPersistableWarning",
    "OldCall",
    "OrchestrationBackend",
    "ParkedError",
    "PauseForEventException",
    "Run",
    "RunContext",
    "SQLiteStore",
    "StaleOwnerError",
    "StateStore",
    "Status",
    "Store",
    "StoreError",
    "TamperedStateError",
    "TransactionError",
    "UnknownRunError",
    "UnsupportedSyntaxError",
    "Worker",
    "Workflow",
    "WorkflowFunction",
    "backoff",
    "constant",
    "current_run",
    "current_step",
    "explain",
    "exponential",
    "linear",
    "make_durable",
    "migrate",
    "open_store",
    "persist",
    "reenter",
    "resource",
    "sleep_until",
    "step",
    "step_key",
    "transaction",
    "transform_to_durable_ast",
    "wait_for_event",
]

_ELSEWHERE: dict[str, tuple[str, str | None]] = {
    "BackoffStrategy": (".backoff", "Backoff"),
    "DiskStateStore": (".stores.disk", "DiskStateStore"),
    "DurableAgent": (".pydantic_ai", "DurableAgent"),
    "DurableAstTransformer": (".compiler.transform", "DurableAstTransformer"),
    "Handle": (".workflow", "Handle"),
    "PostgresStore": (".stores.postgres", "PostgresStore"),
    "RedisStore": (".stores.redis", "RedisStore"),
    "Run": (".workflow", "Run"),
    "SQLiteStore": (".stores.sqlite", "SQLiteStore"),
    "TaskConfig": (".pydantic_ai", "TaskConfig"),
    "Worker": (".worker.worker", "Worker"),
    "Workflow": (".workflow", "Workflow"),
    "WorkflowFunction": (".workflow", "WorkflowFunction"),
    "backoff": (".backoff", None),
    "constant": (".backoff", "constant"),
    "durable_pipeline": (".pydantic_ai", "durable_pipeline"),
    "durable_tool": (".pydantic_ai", "durable_tool"),
    "exponential": (".backoff", "exponential"),
    "linear": (".backoff", "linear"),
    "open_store": (".stores.urls", "open_store"),
    "transform_to_durable_ast": (".compiler.transform", "transform_to_durable_ast"),
}
"""Names that are imported when they are asked for: they need an extra, or not every program wants them
and importing them takes milliseconds."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    try:
        module, attribute = _ELSEWHERE[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    home = importlib.import_module(module, __name__)
    found = globals()[name] = home if attribute is None else getattr(home, attribute)
    return found


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("durable-ast")
    except metadata.PackageNotFoundError:
        raise AttributeError("durable-ast is not installed, so nothing says which version this is") from None


link()

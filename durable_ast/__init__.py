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

from .backends.base import OrchestrationBackend
from .backends.durable import DurableBackend
from .compiler.table import CodeBlock
from .compiler.transform import DurableAstTransformer, transform_to_durable_ast
from .errors import (
    AlreadyDurableException,
    CheckpointException,
    CodeChangedError,
    CorruptStateError,
    DurableError,
    InstanceConflictError,
    InvalidInstanceIdError,
    NewerFormatError,
    NoSourceCodeException,
    NotPersistableError,
    NotPersistableWarning,
    PauseForEventException,
    StaleOwnerError,
    StoreError,
    UnsupportedSyntaxError,
)
from .runtime import link
from .runtime.call_stack import CallStack, FunctionCall
from .runtime.events import wait_for_event
from .runtime.instance import Durability
from .runtime.program import DurableProgram, explain, make_durable
from .runtime.runtime import DurableRuntime
from .state.schema import Status
from .stores.base import StateStore
from .stores.disk import DiskStateStore
from .stores.memory import InMemoryStateStore
from .stores.sqlite import SQLiteStore

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
    "InMemoryStateStore",
    "InstanceConflictError",
    "InvalidInstanceIdError",
    "NewerFormatError",
    "NoSourceCodeException",
    "NotPersistableError",
    "NotPersistableWarning",
    "OrchestrationBackend",
    "PauseForEventException",
    "SQLiteStore",
    "StaleOwnerError",
    "StateStore",
    "Status",
    "StoreError",
    "UnsupportedSyntaxError",
    "explain",
    "make_durable",
    "transform_to_durable_ast",
    "wait_for_event",
]

link()

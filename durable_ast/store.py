"""The stores for a `Workflow` that need no server."""

from .stores.memory import InMemoryStateStore as InMemoryStore
from .stores.sqlite import SQLiteStore
from .stores.steps import Store

__all__ = ["InMemoryStore", "SQLiteStore", "Store"]

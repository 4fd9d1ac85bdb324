"""Async functions that survive the death of their process."""

from .backends.base import OrchestrationBackend as OrchestrationBackend
from .backends.durable import DurableBackend as DurableBackend
from .errors import *  # noqa: F403
from .runtime import linking as _linking
from .runtime import reducers as _reducers
from .state import exceptions as _exceptions
from .runtime.call_stack import CallStack as CallStack
from .runtime.call_stack import FunctionCall as FunctionCall
from .runtime.events import wait_for_event as wait_for_event
from .runtime.instance import Durability as Durability
from .runtime.program import DurableProgram as DurableProgram
from .runtime.program import make_durable as make_durable
from .runtime.runtime import DurableRuntime as DurableRuntime
from .stores.base import StateStore as StateStore
from .stores.memory import InMemoryStateStore as InMemoryStateStore

"""Which branch runs in this context."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .branch import Branch

current: contextvars.ContextVar[Branch | None] = contextvars.ContextVar("durable_ast.branch", default=None)

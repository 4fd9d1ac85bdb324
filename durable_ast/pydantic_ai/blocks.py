"""Runs whose nodes or stream the caller goes through, in an ``async with`` block outside of any workflow.

The run is a workflow of its own, and its only step is the caller's block: the block runs in the caller's
task, as if it were inside of the step, so that what the agent does there is in the journal.  A process
that goes on with such a run later has no caller, and runs the agent to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

from pydantic_ai import AgentRunResult, RunContext
from pydantic_ai.capabilities.abstract import AbstractCapability, WrapRunHandler

from ..runtime.branch import Branch
from ..runtime.control import is_interrupted
from ..runtime.running_branch import current
from ..runtime.setting import setting


class Block:
    """The block of a caller, before and while it runs.

    Attributes:
        result: what the agent has given in it.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._caller = asyncio.current_task()
        self._branch: asyncio.Future[Branch | None] = loop.create_future()
        self._left: asyncio.Future[AgentRunResult[Any]] = loop.create_future()
        self._is_over = False
        self.result: AgentRunResult[Any] | None = None

    @property
    def is_taken(self) -> bool:
        """Whether a step has been this block."""
        return self._branch.done()

    async def as_step(self) -> AgentRunResult[Any]:
        """Be the running step until the caller leaves the block.

        Raises:
            BaseException: that with which the caller has left it.
        """
        self._branch.set_result(current.get())
        try:
            return await self._left
        except asyncio.CancelledError:
            if not self._is_over and self._caller is not None:
                self._caller.cancel()  # somebody else has cancelled the run
            raise

    @asynccontextmanager
    async def inside(
        self, run: Callable[[], Awaitable[AgentRunResult[Any]]]
    ) -> AsyncIterator[AgentRunResult[Any] | None]:
        """Enter the block; gives the result if the run had ended before.

        Args:
            run: starts the workflow of the run, in which `as_step` is called.
        """
        with setting(handed, self):
            running = asyncio.ensure_future(run())
        entered = asyncio.ensure_future(self._entered())
        await asyncio.wait([running, entered], return_when=asyncio.FIRST_COMPLETED)
        if not self.is_taken:
            entered.cancel()
            yield await running
            return
        with setting(current, self._branch.result()):
            try:
                yield None
            except (GeneratorExit, KeyboardInterrupt, SystemExit):
                raise  # the process is ending, the run is not
            except BaseException as error:
                await self._leave(running, error)
                raise
            else:
                await self._leave(running, None)
        if not running.cancelled():
            running.result()  # it is stored, or says why not

    async def _entered(self) -> None:
        await asyncio.wait([self._branch])

    async def _leave(self, running: asyncio.Future[Any], error: BaseException | None) -> None:
        """Let the step end as the block has."""
        if isinstance(error, asyncio.CancelledError) and is_interrupted():
            return
        self._is_over = True
        if self._left.done():
            pass  # the run was ended from outside
        elif error is not None and not isinstance(error, asyncio.CancelledError):
            self._left.set_exception(error)
        elif error is None and self.result is not None:
            self._left.set_result(self.result)
        else:
            self._left.cancel()
        await asyncio.wait([running])
        if error is not None and not running.cancelled():
            running.exception()  # it is the block's own, which is raised already


handed: ContextVar[Block | None] = ContextVar("durable_ast.pydantic_ai.block", default=None)
"""The block that the run which is being started in this process is for."""


class Ended(AbstractCapability[Any]):
    """Lets a run have the result that it had before, and ask nothing.

    Args:
        result: the result.
    """

    def __init__(self, result: AgentRunResult[Any]) -> None:
        self.result = result

    async def wrap_run(self, ctx: RunContext[Any], *, handler: WrapRunHandler) -> AgentRunResult[Any]:
        """The result."""
        return self.result

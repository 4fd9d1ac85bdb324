"""Steps and signals through a Redis client of the caller's own, in the event loop that it belongs to.

For a client that `RedisStore` could not make itself, such as one of fakeredis in a test.  It needs
no scripts on the server; the price is that one process at a time may work on a run.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from ..state import snapshot
from .steps import Store


class RedisSteps(Store):
    """Keeps the steps of a run in one hash, and its signals in another.

    Args:
        client: a client as of ``redis.asyncio``, whether it decodes responses or not.
        ttl: seconds for which runs are kept that have ended well; for ever if it is 0 or None.
        prefix: what all keys begin with.
    """

    def __init__(self, client: Any, ttl: int | None, prefix: str) -> None:
        self.client = client
        self._ttl = ttl
        self._prefix = prefix

    def _key(self, kind: str, run_id: str) -> str:
        return f"{self._prefix}:{kind}:{run_id}"

    async def setup(self) -> None:
        """Nothing: the client is there."""

    async def get_step(self, run_id: str, step_id: str) -> tuple[bool, Any]:
        return _read(await self.client.hget(self._key("steps", run_id), step_id))

    async def set_step(self, run_id: str, step_id: str, result: Any, attempt: int = 1) -> None:
        await self.client.hset(self._key("steps", run_id), step_id, _text(result))

    async def mark_run_done(self, run_id: str) -> None:
        await self._mark(run_id, "done", None)
        if self._ttl:
            for kind in ("steps", "signals", "run"):
                await self.client.expire(self._key(kind, run_id), self._ttl)

    async def mark_run_failed(self, run_id: str, error: str) -> None:
        await self._mark(run_id, "failed", error)

    async def _mark(self, run_id: str, status: str, error: str | None) -> None:
        await self.client.set(self._key("run", run_id), json.dumps({"status": status, "error": error}))

    async def get_signal(self, run_id: str, name: str) -> tuple[bool, Any]:
        return _read(await self.client.hget(self._key("signals", run_id), name))

    async def set_signal(self, run_id: str, name: str, payload: Any) -> bool:
        return bool(await self.client.hsetnx(self._key("signals", run_id), name, _text(payload)))


def _text(value: Any) -> str:
    return base64.b64encode(snapshot.dumps(value)).decode()


def _read(text: str | bytes | None) -> tuple[bool, Any]:
    return (False, None) if text is None else (True, snapshot.loads(base64.b64decode(text)))

"""How the units of an agent are tried again.

A config is a dictionary, for pydantic-ai takes it in the metadata of a tool:
``@agent.tool(metadata={"durable": TaskConfig(retries=5)})``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from pydantic_ai.exceptions import ModelHTTPError, UnexpectedModelBehavior, UsageLimitExceeded, UserError

from ..backoff import Backoff
from ..runtime.retries import Policy

_FINAL = (UserError, UnexpectedModelBehavior, UsageLimitExceeded)
_RETRIABLE_STATUS = (408, 409, 425, 429)


def is_transient(error: BaseException) -> bool:
    """Whether asking again can help: not with what is wrong with the request, and not with limits.

    >>> is_transient(ModelHTTPError(503, "gpt")), is_transient(ModelHTTPError(400, "gpt"))
    (True, False)
    """
    if isinstance(error, ModelHTTPError):
        return error.status_code in _RETRIABLE_STATUS or error.status_code >= 500
    return isinstance(error, Exception) and not isinstance(error, _FINAL)


class TaskConfig(dict[str, Any]):
    """How model requests, or calls of tools, are tried again; what is left out is decided elsewhere.

    Args:
        retries: how often it is tried again after it failed.
        backoff: gives the seconds to wait before a retry; see `durable_ast.backoff`.
        timeout: seconds that one attempt may take.
        total_timeout: seconds that all attempts may take together.
        retry_if: whether it is tried again after this error; by default, if that can help.
        at_most_once: for tools that must not run twice: a call of which nobody knows whether it
            happened, because the process died meanwhile, fails instead, and the model is told so.

    >>> TaskConfig(retries=5).retries
    5
    """

    def __init__(
        self,
        retries: int | None = None,
        backoff: Backoff | None = None,
        *,
        timeout: float | None = None,
        total_timeout: float | None = None,
        retry_if: Callable[[Exception], bool] | None = None,
        at_most_once: bool | None = None,
    ) -> None:
        given = {
            "retries": retries,
            "backoff": backoff,
            "timeout": timeout,
            "total_timeout": total_timeout,
            "retry_if": retry_if,
            "at_most_once": at_most_once,
        }
        super().__init__({name: value for name, value in given.items() if value is not None})
        policy_of(self)  # refuses nonsense

    @property
    def retries(self) -> int | None:
        """How often it is tried again after it failed."""
        return self.get("retries")

    @property
    def backoff(self) -> Backoff | None:
        """How long to wait before that."""
        return self.get("backoff")


def over(base: Mapping[str, Any], config: Mapping[str, Any] | None) -> TaskConfig:
    """A config, with that of `base` where it says nothing."""
    return TaskConfig(**{**base, **(config or {})})


def policy_of(config: Mapping[str, Any]) -> Policy:
    """When an attempt is followed by another.

    Raises:
        TypeError, ValueError: the config holds nonsense.
    """
    items = tuple(config.items())
    try:
        return _policy_of(items)
    except TypeError:  # an option that cannot be hashed, or that is nonsense
        return _policy_of.__wrapped__(items)


@functools.lru_cache(maxsize=256)
def _policy_of(items: tuple[tuple[str, Any], ...]) -> Policy:
    options = {"retry_if": is_transient, **dict(items)}
    if options.pop("at_most_once", False):
        options["retries"] = 0
    return Policy(**options)

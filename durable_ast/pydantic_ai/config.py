"""How the units of an agent are tried again.

A config is a dictionary, for pydantic-ai takes it in the metadata of a tool:
``@agent.tool(metadata={"durable": TaskConfig(retries=5)})``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from pydantic.errors import PydanticUserError
from pydantic_ai import exceptions
from pydantic_ai.exceptions import ModelRetry, UnexpectedModelBehavior, UsageLimitExceeded, UserError

from ..backoff import Backoff
from ..errors import DurableError
from ..runtime.retries import Policy


def _known(*names: str) -> tuple[type[Exception], ...]:
    """Those of pydantic-ai's exceptions that the installed version has."""
    return tuple(getattr(exceptions, name) for name in names if hasattr(exceptions, name))


def _workspace_errors() -> tuple[type[Exception], ...]:
    try:
        from pydantic_ai.workspaces import WorkspaceError
    except ImportError:
        return ()
    return (WorkspaceError,)


_FINAL = (
    UserError,
    PydanticUserError,
    UnexpectedModelBehavior,
    UsageLimitExceeded,
    ModelRetry,  # it is for the model to try again
    DurableError,
    *_workspace_errors(),
    *_known("RunCancelled", "ToolRetryError", "ToolFailed", "ToolFailedError", "SuspendedResponseExpired"),
)
"""What the same call gives again, whoever asks for retries."""
_REFUSED = _known("ModelQuotaExceededError", "ModelRequestRejectedError")
_RETRIABLE_STATUS = (408, 409, 425, 429)


def is_transient(error: BaseException) -> bool:
    """Whether asking again can help: not with what is wrong with the request, and not with limits.

    >>> from pydantic_ai.exceptions import ModelHTTPError
    >>> is_transient(ModelHTTPError(503, "gpt")), is_transient(ModelHTTPError(400, "gpt"))
    (True, False)
    """
    if isinstance(error, ExceptionGroup):  # one model after the other
        return any(is_transient(each) for each in error.exceptions)
    if not isinstance(error, Exception) or isinstance(error, (*_FINAL, *_REFUSED)) or _is_switched_off(error):
        return False
    status = _status_of(error)
    return status is None or status in _RETRIABLE_STATUS or not 400 <= status < 500


def _is_switched_off(error: Exception) -> bool:
    """Whether pydantic-ai is told to ask no models, as in tests: it says so by a mere `RuntimeError`."""
    return type(error) is RuntimeError and "ALLOW_MODEL_REQUESTS" in str(error)


def _status_of(error: Exception) -> int | None:
    """What a server has answered: as pydantic-ai, the libraries of providers and httpx tell it."""
    status = getattr(error, "status_code", None)
    if status is None:
        status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


class TaskConfig(dict[str, Any]):
    """How model requests, or calls of tools, are tried again; what is left out is decided elsewhere.

    Args:
        retries: how often it is tried again after it failed.
        backoff: gives the seconds to wait before a retry; see `durable_ast.backoff`.
        timeout: seconds that one attempt may take.
        total_timeout: seconds that all attempts may take together.
        retry_if: whether it is tried again after this error; by default, if that can help.  It is not
            asked about limits on usage, errors of the program and cancellations, which are final.
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
    options = dict(items)
    options["retry_if"] = _never_final(options.get("retry_if", is_transient))
    if options.pop("at_most_once", False):
        options["retries"] = 0
    return Policy(**options)


def _never_final(wanted: Any) -> Any:
    """What somebody wants to be tried again, without what never is."""
    if not callable(wanted) or wanted is is_transient:
        return wanted
    return lambda error: not isinstance(error, _FINAL) and wanted(error)

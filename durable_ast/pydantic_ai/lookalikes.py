"""Objects that only look like agents: all that is known of them is that `run` can be awaited.

Such a run is one step.  Its result may be anything, so that what is kept of it is the output, the
messages and the usage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..state import snapshot


class _AgentRunResult:
    """What is kept of the result of a run.

    Args:
        result: the result, a dictionary with its ``output``, or the output itself.
        output_type: a pydantic model that an output which is a dictionary is made into.
    """

    def __init__(self, result: Any, output_type: Any = None) -> None:
        if hasattr(result, "output"):
            self.output = result.output
            self._messages = _serialize_messages(_called(result, "all_messages") or [])
            self.usage = _called(result, "usage")
        else:
            kept = result if isinstance(result, dict) else {"output": result}
            self.output = kept.get("output")
            self._messages = kept.get("all_messages", [])
            self.usage = kept.get("usage")
        if isinstance(self.output, dict) and hasattr(output_type, "model_validate"):
            self.output = output_type.model_validate(self.output)
        if not _can_be_saved(self.usage):
            self.usage = None

    def all_messages(self) -> list[Any]:
        """The messages, as dictionaries."""
        return list(self._messages)

    def __repr__(self) -> str:
        return f"<result output={self.output!r}>"


def _serialize_messages(messages: Sequence[Any]) -> list[dict[str, Any]]:
    """The messages as dictionaries; their text, if they know of no better form.

    >>> _serialize_messages([{"role": "user"}, 42])
    [{'role': 'user'}, {'__repr__': '42'}]
    """
    return [_serialized(message) for message in messages]


def _serialized(message: Any) -> dict[str, Any]:
    if isinstance(message, dict):
        return message
    if hasattr(message, "model_dump"):
        return {**message.model_dump(mode="json"), "__type__": type(message).__name__}
    return {"__repr__": repr(message)}


def _called(result: Any, name: str) -> Any:
    value = getattr(result, name, None)
    return value() if callable(value) else value


def _can_be_saved(value: Any) -> bool:
    try:
        snapshot.dumps(value)
    except Exception:
        return False
    return True

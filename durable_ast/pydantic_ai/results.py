"""The results of runs, as they are stored.

A result is saved as it is.  An output whose class cannot be found by a name, because it is defined
inside a function, is saved in its JSON form instead, and made again from the agent's own output type.
"""

from __future__ import annotations

import functools
import inspect
import operator
import pickle
import types
import typing
from copy import copy
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from pydantic_ai.output import NativeOutput, PromptedOutput, TextOutput, ToolOutput


@dataclass(frozen=True, slots=True)
class _Json:
    """An output in its JSON form."""

    data: Any


def stored(result: Any, output_spec: Any) -> Any:
    """The form of a result that can be stored."""
    output = stored_output(result.output, output_spec)
    if output is not result.output:
        result = copy(result)
        result.output = output
    return result


def restored(result: Any, output_spec: Any) -> Any:
    """The result that was stored."""
    result.output = restored_output(result.output, output_spec)
    return result


def stored_output(output: Any, output_spec: Any) -> Any:
    """The form of an output that can be stored."""
    try:
        pickle.dumps(output)
    except Exception:
        return _Json(TypeAdapter(type_of_output(output_spec)).dump_python(output, mode="json"))
    return output


def restored_output(output: Any, output_spec: Any) -> Any:
    """The output that was stored."""
    if isinstance(output, _Json):
        return TypeAdapter(type_of_output(output_spec)).validate_python(output.data)
    return output


def outputs_of(spec: Any) -> tuple[Any, ...]:
    """The alternatives that an output specification names, one by one."""
    if isinstance(spec, (list, tuple)):
        return tuple(output for item in spec for output in outputs_of(item))
    return typing.get_args(spec) if isinstance(spec, types.UnionType) else (spec,)


def type_of_output(spec: Any) -> Any:
    """The type of the outputs that an output specification of pydantic-ai allows.

    >>> type_of_output([int, ToolOutput(str)])
    int | str
    """
    if isinstance(spec, (list, tuple)):
        return functools.reduce(operator.or_, [type_of_output(item) for item in spec])
    if isinstance(spec, (NativeOutput, PromptedOutput)):
        return type_of_output(spec.outputs)
    if isinstance(spec, ToolOutput):
        return type_of_output(spec.output)
    if isinstance(spec, TextOutput):
        return type_of_output(spec.output_function)
    if inspect.isroutine(spec):
        return typing.get_type_hints(spec).get("return", Any)
    return spec

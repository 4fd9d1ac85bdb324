"""Programs that import ``durable``: workflows and tasks of python-durable, or `make_durable`.

The names are the same here, so what changes are imports and the few names that moved.  What has
become needless is kept and pointed out: a ``step_id`` that only tells loop iterations apart, and
models taken apart and built again for the sake of JSON.
"""

from __future__ import annotations

from collections.abc import Sequence

import libcst as cst
import libcst.matchers as m
from libcst.metadata import (
    MetadataWrapper,
    ParentNodeProvider,
    PositionProvider,
    QualifiedNameProvider,
    QualifiedNameSource,
)

from . import Note

OLD, NEW = "durable", "durable_ast"

_TOP_LEVEL = {f"{OLD}.store", f"{OLD}.redis_store", f"{OLD}.context", f"{OLD}.workflow"}
"""Modules whose public names are those of the package itself here."""

_MOVED = {"BackoffStrategy": ("backoff", "Backoff")}
"""Names that are in another module here, and what they are called there."""


class Durable:
    """See the module."""

    name = OLD

    def migrate(self, text: str) -> tuple[str, Sequence[Note]]:
        try:
            module = cst.parse_module(text)
        except cst.ParserSyntaxError as error:
            raise SyntaxError(str(error)) from None
        change = _Change()
        changed = MetadataWrapper(module).visit(change)
        return (changed.code, change.notes) if change.has_imports else (text, [])


class _Change(cst.CSTTransformer):
    METADATA_DEPENDENCIES = (PositionProvider, QualifiedNameProvider, ParentNodeProvider)

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[Note] = []
        self.has_imports = False
        self._functions: list[bool] = []
        """For each function around, whether it is a task."""

    def _note(self, node: cst.CSTNode, text: str) -> None:
        self.notes.append(Note(self.get_metadata(PositionProvider, node).start.line, text))

    # imports

    def leave_ImportAlias(self, original_node: cst.ImportAlias, updated_node: cst.ImportAlias) -> cst.ImportAlias:
        if not m.matches(self.get_metadata(ParentNodeProvider, original_node), m.Import()):
            return updated_node
        name = _dotted(original_node.name)
        if name.partition(".")[0] != OLD:
            return updated_node
        self.has_imports = True
        if name in _TOP_LEVEL:
            self._note(original_node, f"{name} is a part of {NEW} itself; import that, and take its names from there")
        return updated_node.with_changes(name=_with_root(updated_node.name))

    def leave_ImportFrom(
        self, original_node: cst.ImportFrom, updated_node: cst.ImportFrom
    ) -> cst.ImportFrom | cst.FlattenSentinel[cst.BaseSmallStatement]:
        if original_node.relative or original_node.module is None or updated_node.module is None:
            return updated_node
        module = _dotted(original_node.module)
        if module.partition(".")[0] != OLD:
            return updated_node
        self.has_imports = True
        new = cst.Name(NEW) if module in _TOP_LEVEL else _with_root(updated_node.module)
        changed = updated_node.with_changes(module=new)
        if isinstance(original_node.names, cst.ImportStar):
            return changed
        for alias in original_node.names:
            if _dotted(alias.name).startswith("_"):
                self._note(original_node, f"{_dotted(alias.name)} was private to {module}, and is not here")
        stay = [alias for alias in original_node.names if _dotted(alias.name) not in _MOVED]
        moved = [_moved(alias) for alias in original_node.names if _dotted(alias.name) in _MOVED]
        if not moved:
            return changed
        if not stay:
            return cst.FlattenSentinel(moved)
        last = stay[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        return cst.FlattenSentinel([changed.with_changes(names=[*stay[:-1], last]), *moved])

    # names

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.BaseExpression:
        names = self.get_metadata(QualifiedNameProvider, original_node, set())
        if any(name.source is not QualifiedNameSource.IMPORT for name in names):
            return updated_node
        known = {name.name for name in names}
        if original_node.value == OLD and OLD in known and not self._is_in_import(original_node):
            return updated_node.with_changes(value=NEW)
        for moved, (_, new) in _MOVED.items():
            if original_node.value == moved and known & {f"{OLD}.{moved}", f"{OLD}.backoff.{moved}"}:
                return updated_node.with_changes(value=new)
        return updated_node

    def _is_in_import(self, node: cst.CSTNode) -> bool:
        parent: cst.CSTNode | None = node
        while parent is not None and not isinstance(parent, cst.BaseStatement):
            if isinstance(parent, (cst.Import, cst.ImportFrom)):
                return True
            parent = self.get_metadata(ParentNodeProvider, parent, None)
        return False

    # what has become needless

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        self._functions.append(any(_is_task(decorator) for decorator in node.decorators))

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:
        self._functions.pop()
        return updated_node

    def visit_Call(self, node: cst.Call) -> None:
        if any(argument.keyword is not None and argument.keyword.value == "step_id" for argument in node.args):
            self._note(node, "step_id is not needed in a loop any more: each call is a step of its own")
        if self._functions and self._functions[-1]:
            if m.matches(node.func, m.Attribute(attr=m.Name("model_dump"))):
                self._note(node, "model_dump() is not needed any more: a task can give the model itself")
            elif _validates(node):
                self._note(node, "model_validate() is not needed for what a task gave: models stay models")
        elif _validates(node) and any(isinstance(argument.value, cst.Await) for argument in node.args):
            self._note(node, "model_validate() is not needed for what a task gave: models stay models")
        if m.matches(node.func, m.Attribute(attr=m.Name("next_step_id"))):
            self._note(node, "steps have no ids to ask for any more; durable_ast.step_key() tells calls apart")


def _validates(call: cst.Call) -> bool:
    return m.matches(call.func, m.Attribute(attr=m.Name("model_validate")))


def _is_task(decorator: cst.Decorator) -> bool:
    made = decorator.decorator.func if isinstance(decorator.decorator, cst.Call) else decorator.decorator
    return m.matches(made, m.Attribute(attr=m.Name("task")))


def _moved(alias: cst.ImportAlias) -> cst.ImportFrom:
    module, name = _MOVED[_dotted(alias.name)]
    return cst.ImportFrom(
        module=cst.Attribute(cst.Name(NEW), cst.Name(module)),
        names=[cst.ImportAlias(cst.Name(name), asname=alias.asname)],
    )


def _dotted(node: cst.BaseExpression) -> str:
    if isinstance(node, cst.Attribute):
        return f"{_dotted(node.value)}.{node.attr.value}"
    assert isinstance(node, cst.Name)
    return node.value


def _with_root(node: cst.Attribute | cst.Name) -> cst.Attribute | cst.Name:
    """A dotted name that starts with the new package."""
    if isinstance(node, cst.Name):
        return node.with_changes(value=NEW)
    assert isinstance(node.value, (cst.Attribute, cst.Name))
    return node.with_changes(value=_with_root(node.value))

"""The constructs that each suspension point lies in.

Input:   `Lowered`, numbered.
Output:  for each point the constructs around it that keep something alive, outermost first.
"""

from __future__ import annotations

import ast

from .constructs import Around, InAsyncWith, InFinal, InHandler, InLoop, InManager, InTurn
from .lowered import AsyncWith, Block, Finally, For, Lowered, Native, Point, Statement, Try, While, With, blocks
from .names import is_hidden


def constructs(lowered: Lowered) -> dict[int, Around]:
    """The constructs around each point, by its number."""
    found: dict[int, Around] = {}
    _block(lowered.body, (), found)
    return found


def _asked_in(body: Block) -> str | None:
    """The iterator that a loop asks for an item at the beginning of each turn."""
    match body.statements[0]:
        case Try(
            body=Block(statements=[Point(value=ast.Call(func=ast.Name(id=".anext"), args=[ast.Name(id=name)])), *_])
        ):
            return name
    return None


def _block(block: Block, around: Around, found: dict[int, Around]) -> None:
    for statement in block.statements:
        _statement(statement, around, found)


def _statement(statement: Statement, around: Around, found: dict[int, Around]) -> None:
    match statement:
        case Native():
            return
        case Point(number=number):
            found[number] = around
        case For(iterator=str(iterator), body=body, orelse=orelse):
            _block(body, (*around, InLoop(iterator)), found)
            _block(orelse, around, found)
        case While(test=ast.Name(id=going), body=body, orelse=orelse) if is_hidden(going):
            _block(body, (*around, InTurn(going, _asked_in(body))), found)
            _block(orelse, around, found)
        case With(manager=str(manager), body=body):
            _block(body, (*around, InManager(manager)), found)
        case AsyncWith(manager=manager, unfailed=unfailed, opening=opening, body=body):
            _block(opening, around, found)
            _block(body, (*around, InAsyncWith(manager, unfailed)), found)
        case Try(body=body, handlers=handlers, orelse=orelse):
            _block(body, around, found)
            for handler in handlers:
                inside = around if handler.name is None else (*around, InHandler(handler.name))
                _block(handler.body, inside, found)
            _block(orelse, around, found)
        case Finally(body=body, final=final, completion=completion):
            _block(body, around, found)
            _block(final, around if completion is None else (*around, InFinal(completion)), found)
        case _:
            for block in blocks(statement):
                _block(block, around, found)

"""The constructs that each suspension point lies in.

Input:   `Lowered`, numbered.
Output:  for each point the constructs around it that keep something alive, outermost first.
"""

from __future__ import annotations

from .constructs import Around, InAsyncWith, InFinal, InHandler, InLoop, InManager
from .lowered import AsyncWith, Block, Finally, For, Lowered, Native, Point, Statement, Try, With, blocks


def constructs(lowered: Lowered) -> dict[int, Around]:
    """The constructs around each point, by its number."""
    found: dict[int, Around] = {}
    _block(lowered.body, (), found)
    return found


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
        case With(manager=str(manager), body=body):
            _block(body, (*around, InManager(manager)), found)
        case AsyncWith(opening=opening, body=body):
            _block(opening, around, found)
            _block(body, (*around, InAsyncWith()), found)
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

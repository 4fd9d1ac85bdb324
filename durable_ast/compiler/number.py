"""Number the suspension points of a lowered function.

Input:   `Lowered` without numbers.
Output:  the same, every `Point` with its number and every block and statement with its span.
Keeps:   points are numbered from 1 in evaluation order; a construct's span holds exactly the points
         inside it, so one comparison tells whether a point lies in it.

The numbers follow from the text of the function alone, never from the Python that compiles it.
"""

from .lowered import Block, Lowered, Native, Point, Span, Statement, blocks


def number(lowered: Lowered) -> Lowered:
    """Fill in numbers and spans; returns its argument."""
    _block(lowered.body, lowered.points)
    return lowered


def _block(block: Block, points: list[Point]) -> None:
    first = len(points) + 1
    for statement in block.statements:
        _statement(statement, points)
    block.span = Span(first, len(points)) if len(points) >= first else None


def _statement(statement: Statement, points: list[Point]) -> None:
    if isinstance(statement, Point):
        points.append(statement)
        statement.number = len(points)
        return
    if isinstance(statement, Native):
        return
    first = len(points) + 1
    for block in blocks(statement):
        _block(block, points)
    statement.span = Span(first, len(points)) if len(points) >= first else None

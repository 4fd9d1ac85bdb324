"""Rewrite a module of CPython's tests: its test methods become async functions full of awaits.

``stmt``: an await before every statement, at every depth of the method's own blocks.
``expr``: also around the operands of expressions, so that the awaits stand inside of them.

Functions, classes, lambdas and comprehensions inside a method stay as they are.
"""

import ast

MODES = ("stmt", "expr")
TICK, SAME = "_durable_tick", "_durable_same"
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_HEAD = f"from tests.conformance.trial import tick as {TICK}, same as {SAME}\n"


def rewritten(text: str, mode: str) -> tuple[str, list[tuple[str, str]]]:
    """The new text of a module, and the class and name of each method that was rewritten."""
    tree = ast.parse(text)
    found: list[tuple[str, str]] = []
    awaits = _Awaits(mode)
    for owner in tree.body:
        if isinstance(owner, ast.ClassDef):
            for index, node in enumerate(owner.body):
                if _is_test(node):
                    owner.body[index] = awaits.method(node)
                    found.append((owner.name, node.name))
    future = next((i for i, node in enumerate(tree.body) if not _comes_first(node)), len(tree.body))
    tree.body[future:future] = ast.parse(_HEAD).body
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n", found


def _comes_first(node: ast.stmt) -> bool:
    """A docstring or an import from ``__future__``."""
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_text or (isinstance(node, ast.ImportFrom) and node.module == "__future__")


def _is_test(node: ast.stmt) -> bool:
    if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test") or node.decorator_list:
        return False
    return not any(isinstance(inner, (ast.Yield, ast.YieldFrom)) for inner in _own(node))


def _own(node: ast.AST):
    """The nodes of a function's own scope."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, _SCOPES):
            yield from _own(child)


class _Awaits(ast.NodeTransformer):
    def __init__(self, mode: str) -> None:
        self._in_expressions = mode == "expr"
        self._sites = 0

    def method(self, node: ast.FunctionDef) -> ast.AsyncFunctionDef:
        made = ast.AsyncFunctionDef(**{name: getattr(node, name) for name in node._fields})
        made.body = self._block(node.body)
        return ast.copy_location(made, node)

    def _site(self) -> ast.Constant:
        self._sites += 1
        return ast.Constant(self._sites)

    def _block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        result: list[ast.stmt] = []
        for node in statements:
            if not isinstance(node, (ast.Global, ast.Nonlocal)):
                tick = ast.Await(ast.Call(ast.Name(TICK, ast.Load()), [self._site()], []))
                result.append(ast.Expr(tick))
            result.append(self.visit(node))
        return result

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, (*_SCOPES, *_COMPREHENSIONS, ast.Await)):
            return node
        for name, value in ast.iter_fields(node):
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                setattr(node, name, self._block(value))
            elif isinstance(value, list):
                setattr(node, name, [self.visit(item) if isinstance(item, ast.AST) else item for item in value])
            elif isinstance(value, ast.AST) and not isinstance(value, ast.pattern):
                setattr(node, name, self.visit(value))
        return node

    def _same(self, node: ast.expr) -> ast.expr:
        """``await same(site, node)``"""
        return ast.Await(ast.Call(ast.Name(SAME, ast.Load()), [self._site(), node], []))

    def visit(self, node: ast.AST) -> ast.AST:
        node = super().visit(node)
        if self._in_expressions:
            match node:
                case ast.Call(args=args):
                    node.args = [arg if isinstance(arg, ast.Starred) else self._same(arg) for arg in args]
                case ast.BinOp(left=left, right=right):
                    node.left, node.right = self._same(left), self._same(right)
                case ast.Compare(comparators=comparators):
                    node.comparators = [self._same(value) for value in comparators]
                case ast.BoolOp(values=values):
                    node.values = [self._same(value) for value in values]
                case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
                    node.test = self._same(test)
                case ast.For(iter=iterable):
                    node.iter = self._same(iterable)
                case ast.Assign(value=value) | ast.AugAssign(value=value):
                    node.value = self._same(value)
        return node

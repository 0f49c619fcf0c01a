"""Python sources -> .pyc for the access point, small and always the same bytes.

Flash is what an access point has least of, so what only people and type checkers read is left out: docstrings and the
annotations of functions (package.py has the compiler leave out the columns as well). Statements, line numbers and the
annotations that dataclasses read stay, so a traceback names file and line. A class keeps a docstring of one character,
because dataclasses would otherwise compute one with `inspect` for each class at every start.
"""

from __future__ import annotations

import ast
import importlib.util
import marshal

UNCHECKED_HASH = (0b01).to_bytes(4, "little")
"""The .pyc stands without its source and is not compared with it. Source: PEP 552."""


class _Squeeze(ast.NodeTransformer):
    def __init__(self) -> None:
        self.inside_function = False

    def visit_Module(self, node: ast.Module) -> ast.AST:
        self.generic_visit(node)
        return _without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        before, self.inside_function = self.inside_function, False
        self.generic_visit(node)
        self.inside_function = before
        first = node.body[0]
        if _is_text(first):
            first.value.value = "."
        node.body = [node.body[0], *(line for line in node.body[1:] if not _is_text(line))]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        before, self.inside_function = self.inside_function, True
        self.generic_visit(node)
        self.inside_function = before
        node.returns = None
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        for argument in every:
            if argument is not None:
                argument.annotation = None
        return _without_docstring(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if not self.inside_function:
            return node
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _without_docstring(node: ast.Module | ast.FunctionDef) -> ast.AST:
    node.body = [line for line in node.body if not _is_text(line)] or [ast.Pass()]
    return node


def compile_source(source: bytes, path: str, *, squeeze: bool = True) -> bytes:
    """The .pyc of a source that will be ``path`` on the access point, for the Python that runs this."""
    tree = ast.parse(source, path)
    if squeeze:
        tree = ast.fix_missing_locations(_Squeeze().visit(tree))
    code = compile(tree, path, "exec", dont_inherit=True, optimize=0)
    # marshal marks objects by how often this process refers to them; once loaded from bytes only the code itself does.
    body = marshal.dumps(marshal.loads(marshal.dumps(code)))  # noqa: S302  # our own bytes of the line above
    return importlib.util.MAGIC_NUMBER + UNCHECKED_HASH + importlib.util.source_hash(source) + body

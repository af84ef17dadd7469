"""What a strategy file says of itself, read without running a line of it: for files that nobody trusts yet."""

import ast
from pathlib import Path


def glance(path: Path) -> tuple[str, str]:
    """(the name of the strategy in ``path``, the first line of its docstring); the file's name where it has none."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        return path.stem, f"NOT READ: {type(error).__name__}: {error}".replace("\n", " ")
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and (name := _name(node)) is not None:
            return name, next(iter((ast.get_docstring(node) or "").splitlines()), "")
    return path.stem, "defines no strategy with a name"


def _name(node: ast.ClassDef) -> str | None:
    """The text that a class assigns to ``name``."""
    for line in node.body:
        match line:
            case ast.Assign(targets=[ast.Name(id="name")], value=ast.Constant(value=str(text))):
                return text
    return None

"""Measures a package against the budgets of its shape; the exit code is 1 if it is over one.

usage: shape.py PACKAGE

A function's size is its lines of code: blank lines, comments and docstrings do not count.
"""

import ast
import io
import statistics
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FUNCTION_MEDIAN, FUNCTION_P95, FUNCTION_MOST = 8, 25, 40
MODULE_P95, MODULE_MOST = 300, 400
# docs/adr/0008: lines of code, not of explanation, of each layer besides its families.
LAYERS_MOST = {
    "model": 1_675,
    "planning": 1_645,
    "machine": 1_670,
    "controller": 1_320,
    "runner": 5_275,
    "cli": 2_350,
}
# docs/adr/0008: what follows a migration, across layers.
RELEASE_FOLDERS = {"release", "probes"}
RELEASE_MOST = 2_395
# docs/adr/0009: a checkpoint, across layers: folders and modules of that name.
CHECKPOINT = "checkpoint"
CHECKPOINT_MOST = 4_375
# docs/adr/0011: a dump is a backup besides; folders and modules of that name, and its statements.
DUMP = {"dump", "postgresql_dump", "postgresql_freeze"}
DUMP_MOST = 1_300
# docs/adr/0010: its engine on MariaDB: a folder of that name in it, and statements of that name.
MARIADB_CHECKPOINT = ("mariadb", "mariadb_checkpoint")
MARIADB_CHECKPOINT_MOST = 2_165
# docs/adr/0004: what has one name in these folders has a budget of its own.
TOOL_FOLDERS = {("planning", "tools"), ("runner", "wrappers")}
TOOL_MOST = 350
# docs/adr/0006: so has a kind of server; its files begin with its name.
DIALECT_FOLDERS = {("planning", "dialects"), ("whimbrel", "runner")}
DIALECTS = ("postgresql", "mariadb")
DIALECT_MOST = 2_630
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENTED = (ast.Module, ast.ClassDef, *FUNCTIONS)
NOT_CODE = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}


@dataclass(frozen=True)
class Module:
    """A parsed source file with the numbers of the lines that hold code."""

    path: Path
    tree: ast.Module
    lines: int
    code: frozenset[int]


def read_module(path: Path) -> Module:
    """Parse a file."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    return Module(path, tree, source.count("\n"), frozenset(code_lines(source, tree)))


def code_lines(source: str, tree: ast.Module) -> set[int]:
    """Return the lines with code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NOT_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            lines.difference_update(range(docstring.lineno, docstring.end_lineno + 1))
    return lines


def script_lines(path: Path) -> int:
    """Return the number of lines with code of a program that is sent to another interpreter."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return sum(1 for line in lines if line and not line.startswith(("//", "/*", "*")))


def functions(module: Module) -> Iterator[tuple[str, int]]:
    """Yield the place and the size of each function."""
    for node in ast.walk(module.tree):
        if isinstance(node, FUNCTIONS):
            size = len(module.code.intersection(range(node.lineno, node.end_lineno + 1)))
            yield f"{module.path}:{node.lineno} {node.name}", size


def percentile(values: list[int], percent: int) -> int:
    """Return the value that `percent` of the values do not exceed."""
    return sorted(values)[round(percent / 100 * (len(values) - 1))] if values else 0


def too_large(modules: list[Module], scripts: list[Path]) -> Iterator[str]:
    """Yield a line for each budget of sizes that is not held."""
    sized = [found for module in modules for found in functions(module)]
    sizes = [size for _, size in sized]
    lines = [module.lines for module in modules]
    yield from _over("median of functions", int(statistics.median(sizes or [0])), FUNCTION_MEDIAN)
    yield from _over("95 of 100 functions", percentile(sizes, 95), FUNCTION_P95)
    yield from _over("95 of 100 modules", percentile(lines, 95), MODULE_P95)
    tools = [module for module in modules if is_of_tools(module.path)]
    dialects = [module for module in modules if dialect_of(module.path)]
    families = [*tools, *dialects]
    for what, (belongs, most) in FAMILIES.items():
        mine = [module for module in modules if belongs(module.path)]
        yield from _over(f"code of {what}", _code(mine), most)
        families += mine
    for layer, most in LAYERS_MOST.items():
        mine = [each for each in modules if layer in each.path.parts and each not in families]
        yield from _over(f"code of {layer}", _code(mine), most)
    for name in DIALECTS:
        code = sum(len(each.code) for each in dialects if dialect_of(each.path) == name)
        yield from _over(f"code of the dialect {name}", code, DIALECT_MOST)
    for name in sorted({each.stem for each in (*(module.path for module in tools), *scripts)}):
        code = sum(len(module.code) for module in tools if module.path.stem == name)
        code += sum(script_lines(path) for path in scripts if path.stem == name)
        yield from _over(f"code of the tool {name}", code, TOOL_MOST)
    for place, size in sized:
        yield from _over(place, size, FUNCTION_MOST)
    for module in modules:
        yield from _over(str(module.path), module.lines, MODULE_MOST)


def _code(modules: list[Module]) -> int:
    return sum(len(module.code) for module in modules)


def is_of_tools(path: Path) -> bool:
    """Tell whether a file stands where each tool has its own."""
    return path.parts[-3:-1] in TOOL_FOLDERS


def is_of_checkpoint(path: Path) -> bool:
    """Tell whether a file is about checkpoints alone."""
    named = CHECKPOINT in {*path.parts[:-1], path.stem}
    return named and not is_of_mariadb_checkpoint(path) and not is_of_dump(path)


def is_of_dump(path: Path) -> bool:
    """Tell whether a file is about dumps alone."""
    return bool(DUMP & {*path.parts[:-1], path.stem})


def is_of_mariadb_checkpoint(path: Path) -> bool:
    """Tell whether a file is about checkpoints on MariaDB alone."""
    folder, beginning = MARIADB_CHECKPOINT
    is_engine = {CHECKPOINT, folder} <= set(path.parts[:-1])
    return is_engine or path.stem.startswith(beginning)


def dialect_of(path: Path) -> str:
    """Return the kind of server that a file is about, or ""."""
    ours = is_of_dump(path) or is_of_mariadb_checkpoint(path)
    if path.parts[-3:-1] not in DIALECT_FOLDERS or ours:
        return ""
    return next((name for name in DIALECTS if path.stem.split("_")[0] == name), "")


FAMILIES = {
    "the release": (lambda path: bool(RELEASE_FOLDERS & set(path.parts)), RELEASE_MOST),
    "the checkpoint": (is_of_checkpoint, CHECKPOINT_MOST),
    "checkpoints on MariaDB": (is_of_mariadb_checkpoint, MARIADB_CHECKPOINT_MOST),
    "the dump": (is_of_dump, DUMP_MOST),
}


def _over(what: str, lines: int, budget: int) -> Iterator[str]:
    if lines > budget:
        yield f"{what}: {lines} lines, the budget is {budget}"


def undocumented(module: Module) -> Iterator[str]:
    """Yield the public modules, classes and functions without a docstring."""
    if ast.get_docstring(module.tree) is None:
        yield f"{module.path}:1: the module has no docstring"
    for node in public(module.tree):
        if ast.get_docstring(node) is None:
            yield f"{module.path}:{node.lineno}: {node.name} has no docstring"


def public(tree: ast.AST) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield public classes, their methods, and functions; not what a function defines inside."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, DOCUMENTED) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node)


def forbidden(module: Module) -> Iterator[str]:
    """Yield `print`, imports inside functions, bare `except` and swallowed exceptions."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print":
            yield f"{module.path}:{node.lineno}: print"
        if isinstance(node, ast.ExceptHandler) and _catches_all(node):
            yield f"{module.path}:{node.lineno}: except that catches everything"
        if isinstance(node, FUNCTIONS):
            yield from _hidden_imports(module, node)


def _catches_all(handler: ast.ExceptHandler) -> bool:
    names = {getattr(node, "id", "") for node in ast.walk(handler.type)} if handler.type else {""}
    goes_on = any(isinstance(node, ast.Raise) for node in ast.walk(handler))
    return not handler.type or (bool(names & {"Exception", "BaseException"}) and not goes_on)


def _hidden_imports(module: Module, function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield f"{module.path}:{node.lineno}: import inside a function"


def broken_budgets(package: Path) -> list[str]:
    """Return a line for each budget that the package does not hold."""
    modules = [read_module(path) for path in sorted(package.rglob("*.py"))]
    scripts = sorted(path for path in package.rglob("*.js") if is_of_tools(path))
    lines = list(too_large(modules, scripts))
    for module in modules:
        lines += [*undocumented(module), *forbidden(module)]
    return lines


def summary(package: Path) -> str:
    """Return the numbers in one line."""
    modules = [read_module(path) for path in sorted(package.rglob("*.py"))]
    sizes = [size for module in modules for _, size in functions(module)] or [0]
    lines = [module.lines for module in modules] or [0]
    code = sum(len(module.code) for module in modules)
    of_tools = sum(len(module.code) for module in modules if is_of_tools(module.path))
    of_dialects = sum(len(module.code) for module in modules if dialect_of(module.path))
    return (
        f"{len(modules)} modules, {sum(lines)} lines ({code} of code, {of_tools} of it of tools, "
        f"{of_dialects} of dialects), at most {max(lines)}; "
        f"{len(sizes)} functions, median {int(statistics.median(sizes))}, "
        f"p95 {percentile(sizes, 95)}, most {max(sizes)}"
    )


def main(words: list[str]) -> int:
    """Print the shape and what is over a budget."""
    (package,) = map(Path, words)
    broken = broken_budgets(package)
    for line in [*broken, summary(package)]:
        sys.stdout.write(f"{line}\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What is sent into the user's image: one text, for an old Python, that knows nothing of ours."""

import ast

import pytest

from whimbrel.model.spec import Tool
from whimbrel.planning.tools.registry import foreign_tool
from whimbrel.runner.run_tool import wrapper_text

IN_PYTHON = [tool for tool in Tool if tool.is_foreign]


@pytest.mark.parametrize("tool", IN_PYTHON)
def test_the_text_stands_alone(tool: Tool):
    text = wrapper_text(foreign_tool(tool).started)
    tree = ast.parse(text, feature_version=(3, 8))
    compile(text, "<string>", "exec")
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert imported[0] == "__future__"
    assert not [name for name in imported if name and name.startswith("whimbrel")]
    # One argument of a program may have 128 KiB on Linux (MAX_ARG_STRLEN).
    assert len(text) < 64 * 1024

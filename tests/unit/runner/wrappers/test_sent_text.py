"""What is sent into the user's image: one text, which needs nothing of ours."""

import ast
import subprocess

import pytest

from whimbrel.model.spec import Tool
from whimbrel.planning.tools.registry import foreign_tool
from whimbrel.planning.tools.runtimes import NODE, PYTHON
from whimbrel.runner.run_tool import wrapper_text

STARTED = [foreign_tool(tool).started for tool in Tool if tool.is_foreign]
IN_PYTHON = [pytest.param(each, id=each.wrapper) for each in STARTED if each.runtime is PYTHON]
IN_NODE = [pytest.param(each, id=each.wrapper) for each in STARTED if each.runtime is NODE]


@pytest.mark.parametrize("started", IN_PYTHON)
def test_the_python_text_stands_alone(started):
    text = wrapper_text(started)
    tree = ast.parse(text, feature_version=(3, 8))
    compile(text, "<string>", "exec")
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert imported[0] == "__future__"
    assert not [name for name in imported if name and name.startswith("whimbrel")]


@pytest.mark.parametrize("started", IN_NODE)
def test_the_node_text_stands_alone(started):
    text = wrapper_text(started)
    subprocess.run(["node", "--check", "-"], input=text, text=True, check=True)
    assert 'require("./' not in text
    assert text.startswith('(() => {"use strict";')
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("started", [*IN_PYTHON, *IN_NODE])
def test_the_text_is_one_argument(started):
    # One argument of a program may have 128 KiB on Linux (MAX_ARG_STRLEN).
    assert len(wrapper_text(started).encode()) < 64 * 1024

"""Every function is documented, by SpeechBrain's rule and beyond it."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path.relative_to(ROOT)
    for folder in ("auxformer_lobes", "recipes")
    for path in (ROOT / folder).rglob("*.py")
)


def definitions(path):
    """The module and all its functions and classes, nested ones too."""
    kinds = (ast.Module, ast.FunctionDef, ast.ClassDef)
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def arguments_of(node):
    """Names of the arguments that a caller gives."""
    spec = node.args
    names = [argument.arg for argument in spec.posonlyargs + spec.args]
    names += [f"*{spec.vararg.arg}"] if spec.vararg else []
    names += [argument.arg for argument in spec.kwonlyargs]
    names += [f"**{spec.kwarg.arg}"] if spec.kwarg else []
    return [name for name in names if name not in ("self", "cls")]


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_everything_public_has_a_docstring(path):
    bare = [
        getattr(node, "name", "the module itself")
        for node in definitions(path)
        if not getattr(node, "name", "").startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not bare


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_a_docstring_that_lists_arguments_lists_all_of_them(path):
    for node in definitions(path):
        text = ast.get_docstring(node) or ""
        if isinstance(node, ast.ClassDef):
            inits = [
                method
                for method in node.body
                if getattr(method, "name", "") == "__init__"
            ]
            expected = arguments_of(inits[0]) if inits else []
        elif isinstance(node, ast.FunctionDef):
            expected = arguments_of(node)
        else:
            continue
        if not re.search(r"^Arguments\n-{9}$", text, re.M):
            continue
        section = re.split(r"^Arguments\n-{9}$", text, flags=re.M)[1]
        section = re.split(r"^\w[\w ]*\n-{3,}$", section, flags=re.M)[0]
        listed = re.findall(r"^(\**\w+)(?: : |$)", section, re.M)
        if expected:
            assert listed == expected, f"{path}: {node.name}"

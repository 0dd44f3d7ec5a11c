"""Builds the documentation with Sphinx: `make docs`.

The source folder is the root of the repository, so that the pages of `docs/`,
the READMEs of the recipes and CONTRIBUTING.md link to each other by relative
paths, which hold on GitHub as in the site. The site loads nothing from
elsewhere: no fonts and no scripts, and formulas are MathML.

The reference of the package and of the command line is written from the code
at the start of each build, into `docs/reference/generated`. With the tag
"pages", as in the tests, the classes are left out: `sphinx-build -t pages`.
"""

import inspect
import os
import pkgutil
import sys
import textwrap
from importlib import import_module
from pathlib import Path

import tomllib
from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
# The help of the command line is wrapped to it.
os.environ["COLUMNS"] = "80"
# What is imported looks for nothing on the Hub.
os.environ["HF_HUB_OFFLINE"] = "1"

PACKAGE = "auxformer_lobes"
GENERATED = ROOT / "docs" / "reference" / "generated"

project = "AuxFormer for SpeechBrain"
copyright = "the authors of auxformer-lobes, Apache License 2.0"
version = release = import_module(PACKAGE).__version__
html_title = project

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "recipes/*/README.md",
    "benchmarks/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
]
# Folders that Sphinx would search for the patterns.
exclude_patterns = [
    *(".*", "build", "demo", "results", "tests", "docs/_build"),
    *("auxformer_lobes", "recipes/*/results", "**/__pycache__"),
]

html_theme = "furo"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
# Leads from the top folder of the site to its first page.
html_extra_path = ["_root"]
html_math_renderer = "mathml"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# As in SpeechBrain: NumPy's docstrings, with backticks for code.
default_role = "code"
napoleon_google_docstring = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_typehints = "none"
autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    # Each class once, where it is defined.
    "ignore-module-all": True,
}
toc_object_entries_show_parents = "hide"


def rooms():
    """The rooms of the package, those first that import from the others."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        (contract,) = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    names = [name for layer in contract["layers"] for name in layer.split(":")]
    return [name.strip(" ()") for name in names]


def modules_of(room):
    """A room and all public modules in it."""
    name = f"{PACKAGE}.{room}"
    if not (ROOT / PACKAGE / room).is_dir():
        return [name]
    inside = pkgutil.walk_packages([str(ROOT / PACKAGE / room)], f"{name}.")
    return [name, *sorted(module.name for module in inside)]


def heading(text, mark):
    """A heading in reStructuredText."""
    return f"{text}\n{mark * len(text)}\n"


def room_page(room):
    """The page of a room: each module with all that is public in it."""
    title = f"``{PACKAGE}.{room}``"
    parts = [heading(title, "=")]
    for name in modules_of(room):
        if name != f"{PACKAGE}.{room}":
            parts.append(heading(name.removeprefix(f"{PACKAGE}."), "-"))
        if not tags.has("pages"):  # noqa: F821, of Sphinx
            parts.append(f".. automodule:: {name}\n")
    return "\n".join(parts)


def commands_page():
    """The help of each command, as `--help` prints it."""
    main = import_module(f"{PACKAGE}.cli.main")
    # Of its own parser, whose commands have the options that all share.
    (commands,) = main._make_parser()._subparsers._group_actions
    parts = [
        heading("The command line", "="),
        "``auxformer COMMAND --help`` prints what stands here.\n",
    ]
    for name, parser in commands.choices.items():
        parts.append(heading(f"auxformer {name}", "-"))
        text = textwrap.indent(parser.format_help(), "    ")
        parts.append(f".. code-block:: text\n\n{text}")
    return "\n".join(parts)


def write_generated(app):
    """Writes the pages that come from the code, where they have changed."""
    pages = {f"{room}.rst": room_page(room) for room in rooms()}
    pages["index.rst"] = "\n".join(
        [
            heading("The package", "="),
            "Rooms of ``auxformer_lobes``: each imports from those below it.\n",
            ".. toctree::\n    :maxdepth: 1\n",
            *(f"    {room}" for room in rooms()),
            "",
        ]
    )
    pages["command_line.rst"] = commands_page()
    GENERATED.mkdir(exist_ok=True)
    for file in GENERATED.iterdir():
        if file.name not in pages:
            file.unlink()
    for name, text in pages.items():
        path = GENERATED / name
        # What is as it was is not built again.
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def skip_fields(app, what, name, obj, skip, options):
    """Leaves out the fields of named tuples: their class describes them."""
    text = inspect.getdoc(obj) or ""
    return True if text.startswith("Alias for field number") else skip


def visit_inline(translator, node):
    """Writes a formula of a line as MathML."""
    translator.body.append(tex2mathml(node.astext()))
    raise SkipNode


def visit_block(translator, node):
    """Writes a formula of its own as MathML."""
    formula = tex2mathml(node.astext(), as_block=True)
    translator.body.append(f'<div class="formula">{formula}</div>')
    raise SkipNode


def setup(app):
    """Connects the above to Sphinx."""
    app.connect("builder-inited", write_generated)
    app.connect("autodoc-skip-member", skip_fields)
    app.add_html_math_renderer(
        "mathml", (visit_inline, None), (visit_block, None)
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}

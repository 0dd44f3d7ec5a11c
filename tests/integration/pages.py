"""The Markdown pages of the project: their code blocks, links and anchors."""

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.integration.recipes import ROOT

FOLDERS = ("docs", "recipes", "benchmarks")
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
        ROOT / "CHANGELOG.md",
        *(
            page
            for folder in FOLDERS
            for page in (ROOT / folder).rglob("*.md")
            # What a build or a run has left.
            if not {"_build", "results"} & {*page.parts}
        ),
    ]
)
# With no programs in its path, the shell hands each command to the handler.
# A block begins where the one before has ended, or in the first folder.
SHELL = r"""
command_not_found_handle() {
    printf '%s\0' "$PWD" $# "$@" >&3
}
cd() {
    if [ -d "$1" ]; then builtin cd "$1"; else builtin cd "$FIRST/$1"; fi
}
"""


class Block(NamedTuple):
    """A code block: the number of its first line, its tag, and its content."""

    line: int
    tag: str
    code: str


class Command(NamedTuple):
    """A command of a shell, and the folder where it is called."""

    folder: Path
    words: list


def name_of(page):
    """A page's path in the repository."""
    return str(page.relative_to(ROOT))


def split_blocks(text):
    """The code blocks of a page, and its text without them."""
    blocks, prose, fence = [], [], None
    for number, line in enumerate(text.splitlines(), start=1):
        if fence is None and (opening := re.match(r"(`{3,})(.*)", line)):
            fence, (tag, *_) = opening[1], [*opening[2].split(), ""]
            start, code = number + 1, []
        elif fence is not None and line.strip() == fence:
            blocks.append(Block(start, tag, "\n".join(code) + "\n"))
            fence = None
        elif fence is not None:
            code.append(line)
        else:
            prose.append(line)
    assert fence is None, "a code block has no end"
    return blocks, "\n".join(prose)


def shell_commands(code, folder, first):
    """What bash makes of a block: its commands, and the folder at its end.

    Comments, quotes, braces, loops and subshells are bash's business; no
    command is run.
    """
    done = subprocess.run(
        [
            "/bin/bash",
            "-c",
            f"exec 3>&1 >&2\n{SHELL}\n{code}\nset -- end\n: "
            f'&& command_not_found_handle "$@"',
        ],
        cwd=folder,
        env={"PATH": "/nonexistent", "FIRST": str(first)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    words = done.stdout.split("\0")[:-1]
    commands = []
    while words:
        place, count, *words = words
        commands.append(Command(Path(place), words[: int(count)]))
        words = words[int(count) :]
    return commands[:-1], commands[-1].folder


def links_of(text):
    """Targets of a page's links and images, outside of its code."""
    _, prose = split_blocks(text)
    prose = re.sub(r"`[^`]*`", "", prose)
    return re.findall(r"\]\(\s*([^)\s]+)\s*\)", prose)


def anchors_of(text):
    """The anchors of a page's headings, as GitHub and MyST make them."""
    _, prose = split_blocks(text)
    headings = re.findall(r"^#+ (.+)$", prose, re.M)
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {slug.replace(" ", "-") for slug in slugs}

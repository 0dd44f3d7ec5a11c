"""Pages of one file: sections of tables and charts, without scripts.

All text on a page may be a stranger's: the template escapes it.
"""

import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from auxformer_lobes.reporting import charts
from auxformer_lobes.utils.text import printable

TEMPLATE = Path(__file__).with_name("page.html.j2")


@dataclass
class Link:
    """A cell that leads to another page.

    Arguments
    ---------
    text : str
        What it says.
    href : str
        Quoted relative address.
    """

    text: str
    href: str


@dataclass
class Table:
    """A table.

    Arguments
    ---------
    columns : list of str
        Their titles.
    rows : list of list
        Cells, each text, a number or a `Link`.
    title : str
        What the table shows.
    text : int
        How many columns, from the left, are text; the others are numbers, set
        to the right.
    folded : bool
        Whether the rows are shown on demand, and in print.
    shares : list of list
        For each cell how deep it is shaded, from 0 to 1; none by default.
    """

    kind = "table"

    columns: list
    rows: list
    title: str
    text: int = 1
    folded: bool = False
    shares: list = None


@dataclass
class Chart:
    """A figure, with the table of what it shows.

    Arguments
    ---------
    figure : matplotlib.figure.Figure
        One panel, made under `charts.STYLE`.
    table : Table
        The same in numbers; its title is that of the chart.
    """

    kind = "chart"

    figure: object
    table: Table

    @property
    def is_small(self):
        """Whether it may stand beside another chart, above its table."""
        narrow = self.figure.get_figwidth() <= charts.NARROW
        return narrow or self.table.folded


@dataclass
class Text:
    """A paragraph.

    Arguments
    ---------
    text : str
        Its sentences.
    """

    kind = "text"

    text: str


@dataclass
class Findings:
    """What an audit has found.

    Arguments
    ---------
    findings : list of dict
        `level` ("error", "warning" or "note"), `text` and `examples` of each.
    """

    kind = "findings"

    findings: list


@dataclass
class Code:
    """A file, shown on demand, and in print.

    Arguments
    ---------
    title : str
        What it is.
    text : str
        Its content.
    """

    kind = "code"

    title: str
    text: str


@dataclass
class Section:
    """A part of a page; one without blocks is left out.

    Arguments
    ---------
    title : str
        Heading, another one for each section of a page.
    blocks : list
        `Text`, `Table`, `Chart`, `Findings` and `Code`.
    """

    title: str
    blocks: list


@dataclass
class Page:
    """A page: a summary, and sections.

    Arguments
    ---------
    title : str
        Heading.
    summary : list of str
        Sentences below it.
    headlines : list of dict
        The most important results: `label`, `value`, `brackets` and `details`
        (a list of lines) of each.
    verdicts : list of dict
        What the audits have found: `level`, `text`, and the title of the
        `section` about it.
    sections : list of Section
        In their order.
    data : dict
        All figures, embedded as JSON.
    """

    title: str
    summary: list
    headlines: list
    verdicts: list
    sections: list
    data: dict = field(default_factory=dict)


def render(page):
    """The text of a page.

    Arguments
    ---------
    page : Page
        What it shows.

    Returns
    -------
    str
        HTML that loads nothing, and that UTF-8 can encode.

    Example
    -------
    >>> page = Page("a < b", ["One sentence."], [], [], [])
    >>> "<h1>a &lt; b</h1>" in render(page)
    True
    """
    numbers = Counter()

    def _svg(chart):
        numbers["chart"] += 1
        name = f"chart-{numbers['chart']}"
        return charts.inline_svg(chart.figure, name, chart.table.title)

    sections = [section for section in page.sections if section.blocks]
    html = _template().render(
        page=page,
        sections=sections,
        anchors={of.title: f"section-{i}" for i, of in enumerate(sections, 1)},
        svg=_svg,
        data=embed(page.data),
    )
    # Names of files may have bytes that are no text.
    return html.encode("utf-8", "replace").decode("utf-8")


def embed(data):
    """JSON that may stand between the tags of a script.

    Arguments
    ---------
    data : dict
        What `shareable` returns.

    Returns
    -------
    markupsafe.Markup

    Example
    -------
    >>> embed({"name": "</script>"})
    Markup('{"name": "\\\\u003c/script\\\\u003e"}')
    """
    text = json.dumps(data, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def shareable(value):
    """What may be shared of JSON: the home folder becomes "~", NaN None.

    Arguments
    ---------
    value : dict, list, str, number or None
        Any JSON.

    Returns
    -------
    dict, list, str, number or None

    Example
    -------
    >>> shareable({"loss": [float("nan"), f"{Path.home()}/corpus"]})
    {'loss': [None, '~/corpus']}
    """
    if isinstance(value, dict):
        return {shareable(key): shareable(of) for key, of in value.items()}
    if isinstance(value, (list, tuple)):
        return [*map(shareable, value)]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str) and Path.home() != Path("/"):
        return re.sub(rf"{re.escape(str(Path.home()))}(?![\w-])", "~", value)
    return value


@cache
def _template():
    environment = Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_printable,
    )
    return environment.from_string(TEMPLATE.read_text("utf-8"))


def _printable(value):
    """Text without characters that would not be seen."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return printable(value, kept="\n\t")

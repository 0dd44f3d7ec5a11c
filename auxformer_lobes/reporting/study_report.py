"""The report of a study: `report.html`."""

from urllib.parse import quote

from auxformer_lobes.reporting import (
    charts,
    metric_sections,
    missing_sections,
    run_sections,
)
from auxformer_lobes.reporting.comparisons import (
    format_bounds,
    format_p,
    format_pooled,
)
from auxformer_lobes.reporting.html import (
    Chart,
    Link,
    Page,
    Section,
    Table,
    Text,
    render,
    shareable,
)
from auxformer_lobes.reporting.tables import (
    count_of,
    format_decimal,
    format_metric,
    title_of,
    titles_of,
)

# That are shown without being asked for.
MAX_SENTENCES = 12
MAX_CELLS = 60


def study_report(data):
    """The report of a study.

    Arguments
    ---------
    data : dict
        `name`; `settings` that all cells share, and `versions`; `cells`, each
        with its `name`, `settings`, `state` ("finished", "failed",
        "running" or "waiting"), `reason`, relative `folder` and `metrics` (condition →
        metric → value); `systems`, each with its `name`, `condition`, `cells`
        and `speakers` (how many) and metrics `{value, sd, low, high, kind}`;
        `comparisons`, each with `a`, `b`, `condition`, `metric`,
        `difference`, `low`, `high`, `kind`, `p`, `p_holm`, `improvement`,
        `cells` and `sentence`; `not_compared`, condition → why its systems
        are not; `audits`, partition ("partition 1", or empty) → the content of
        `audit.json`; perhaps `missing`, what `read_if_there` returns;
        `metric_names`, and the `scale` of tables.

    Returns
    -------
    str
        One HTML file, which loads nothing. The home folder is "~" in it.
    """
    data = shareable(data)
    first = data["metric_names"][0]
    page = Page(
        title=data["name"],
        summary=[_describe_cells(data["cells"])],
        headlines=_headlines(data, first),
        verdicts=[
            run_sections.verdict(_audit_title(partition), audit["findings"])
            for partition, audit in data["audits"].items()
        ],
        sections=[
            Section("Results", _systems(data, first)),
            Section("Comparisons", _comparisons(data)),
            Section(
                "Missing modalities",
                missing_sections.study_curves(
                    data.get("missing"), data["scale"]
                ),
            ),
            Section("Failed cells", _failed(data["cells"])),
            Section("Cells", _cells(data, first)),
            *(
                Section(_audit_title(partition), run_sections.audit(audit))
                for partition, audit in data["audits"].items()
            ),
            Section(
                "Settings and versions",
                run_sections.settings(data["settings"], data["versions"]),
            ),
        ],
        data=data,
    )
    return render(page)


def _audit_title(partition):
    """The partition is empty where none is varied."""
    return f"Split audit, {partition}" if partition else "Split audit"


def _describe_cells(cells):
    states = [cell["state"] for cell in cells]
    counts = ", ".join(
        f"{states.count(state):,} {state}" for state in dict.fromkeys(states)
    )
    varied = {}
    for cell in cells:
        for key, value in cell["settings"].items():
            varied.setdefault(key, {})[str(value)] = None
    grid = "; ".join(f"{key} {', '.join(of)}" for key, of in varied.items())
    return f"{count_of(len(cells), 'cell')} ({counts}): {grid}."


def _headlines(data, first):
    """The best system under each condition."""
    headlines = []
    for condition in dict.fromkeys(s["condition"] for s in data["systems"]):
        systems = [
            system
            for system in data["systems"]
            if system["condition"] == condition
            and system[first]["value"] is not None
        ]
        if not systems:
            continue
        best = max(systems, key=lambda system: system[first]["value"])
        text = format_metric(best[first], data["scale"])
        value, _, brackets = text.partition(" ")
        headlines.append(
            {
                "label": title_of(condition),
                "value": value,
                "brackets": brackets,
                "details": [
                    _title(first, data),
                    f"{best['name']}, highest of "
                    + count_of(len(systems), "system"),
                ],
            }
        )
    return headlines


def _systems(data, first):
    names, systems = data["metric_names"], data["systems"]
    if not systems:
        return [Text("No cell is finished.")]
    # The systems of a condition are what a reader compares.
    order = [*dict.fromkeys(system["condition"] for system in systems)]
    systems = sorted(systems, key=lambda s: order.index(s["condition"]))
    rows = [
        [
            title_of(system["condition"]),
            system["name"],
            *(format_pooled(system[m], data["scale"]) for m in names),
            system["cells"],
            system["speakers"],
        ]
        for system in systems
    ]
    columns = ["condition", "system", *titles_of(names), "cells", "speakers"]
    title = f"{_title(first, data)}: mean ± standard deviation over cells"
    table = Table(columns, rows, title, text=2)
    values = {}
    for system in systems:
        row = values.setdefault(title_of(system["condition"]), {})
        row[system["name"]] = system[first]
    figure = charts.intervals(values, first, data["scale"])
    shown = [system[name] for system in systems for name in names]
    return [*metric_sections.explain(shown), Chart(figure, table)]


def _comparisons(data):
    comparisons, scale = data["comparisons"], data["scale"]
    blocks = [
        Text(f"Not compared, {title_of(condition)}: {reason}.")
        for condition, reason in data["not_compared"].items()
    ]
    if not comparisons:
        return blocks
    rows = [
        [
            of["a"],
            of["b"],
            title_of(of["condition"]),
            *titles_of([of["metric"]]),
            format_decimal(of["difference"], scale) + format_bounds(of, scale),
            *(format_p(of[name]) for name in ("p", "p_holm")),
            f"{of['improvement']:.2f}",
            of["cells"],
        ]
        for of in comparisons
    ]
    columns = ["A", "B", "condition", "metric", "A − B", "p", "p after Holm"]
    columns += ["probability of improvement", "cells"]
    return [
        *blocks,
        Table(
            ["comparison"],
            [[of["sentence"]] for of in comparisons],
            "In words",
            folded=len(comparisons) > MAX_SENTENCES,
        ),
        Table(columns, rows, "Differences, paired by cell and clip", text=4),
    ]


def _failed(cells):
    rows = [
        [cell["name"], cell["reason"]]
        for cell in cells
        if cell["state"] == "failed"
    ]
    return [Table(["cell", "reason"], rows, "Why", text=2)] if rows else []


def _cells(data, first):
    cells = data["cells"]
    keys = [*dict.fromkeys(key for cell in cells for key in cell["settings"])]
    conditions = [*dict.fromkeys(c for cell in cells for c in cell["metrics"])]
    rows = []
    for cell in cells:
        name = cell["name"]
        if cell["state"] == "finished":
            name = Link(name, f"./{quote(cell['folder'])}/report.html")
        values = [cell["metrics"].get(c, {}).get(first) for c in conditions]
        rows.append(
            [
                name,
                *(str(cell["settings"].get(key, "–")) for key in keys),
                cell["state"],
                *(format_decimal(value, data["scale"]) for value in values),
            ]
        )
    columns = ["cell", *keys, "state", *map(title_of, conditions)]
    title = f"{_title(first, data)} of each cell"
    folded = len(rows) > MAX_CELLS
    return [Table(columns, rows, title, text=len(keys) + 2, folded=folded)]


def _title(metric, data):
    (title,) = titles_of([metric])
    return f"{title}, %" if data["scale"] == 100 else title

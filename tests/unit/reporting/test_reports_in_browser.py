"""Reports in a browser: on a phone, in light and in dark, offline."""

import json
import re
import shutil
import subprocess

import pytest

from auxformer_lobes.reporting.missing_file import read_if_there
from auxformer_lobes.reporting.study_report import study_report
from tests.unit.small_reports import make_report, make_study
from tests.unit.small_sweeps import make_study_sweep, make_sweep, write_sweep

LONG = "a_very_long_name_" * 9
CHROMIUM = shutil.which("chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
    # The page that measures reads those that are measured.
    *("--allow-file-access-from-files", "--enable-logging=stderr"),
]
# Each report in a frame as wide as a phone. For each text, the contrast of
# its colour with what is behind it, by WCAG 2; there are no half-transparent
# backgrounds but those of shaded cells, which are left out.
MEASURE = """\
<!DOCTYPE html><meta charset="utf-8"><body>FRAMES<pre id="result"></pre>
<script>
const luminance = colour => {
  const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(x => {
    x /= 255;
    return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (a, b) => {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};
addEventListener("load", () => {
  const results = [...document.querySelectorAll("iframe")].map(frame => {
    const view = frame.contentWindow, page = view.document;
    const root = page.documentElement, style = e => view.getComputedStyle(e);
    const paper = style(page.body).backgroundColor;
    const low = [];
    for (const e of page.querySelectorAll("body *")) {
      const text = [...e.childNodes].some(
        n => n.nodeType === 3 && n.data.trim());
      if (!text || e.closest("script, title, [style*=heat]")) continue;
      const of = style(e);
      const behind = e.localName === "pre" ? of.backgroundColor : paper;
      const colour = e.localName === "text" ? of.fill : of.color;
      const ratio = contrast(colour, behind);
      if (ratio < 4.5) low.push(`${e.localName} ${e.textContent} ${ratio}`);
    }
    return {
      paper, low,
      overflow: root.scrollWidth - root.clientWidth,
      loaded: view.performance.getEntriesByType("resource").length,
      smallest: Math.min(...[...page.querySelectorAll("svg text")].map(
        e => {
          const {a, b} = e.getScreenCTM();  // it may be rotated
          return parseFloat(style(e).fontSize) * Math.hypot(a, b);
        })),
    };
  });
  document.getElementById("result").textContent = JSON.stringify(results);
});
</script>
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What the browser says, and what it measures of each page and scheme."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium")
    folder = tmp_path_factory.mktemp("browser")
    sweep = write_sweep(
        folder / "study.json", make_study_sweep([LONG], twins=[])
    )
    pages = {
        "run": make_report(folder, sweep=make_sweep(kinds=["bursts"])),
        "study": study_report(
            {**make_study(system=LONG), "missing": read_if_there(sweep)}
        ),
    }
    frames = ""
    for name, html in pages.items():
        (folder / f"{name}.html").write_text(html, encoding="utf-8")
        for scheme in ("light", "dark"):
            frames += (
                f'<iframe src="{name}.html" style="width: 390px; '
                f'height: 800px; border: 0; color-scheme: {scheme}"></iframe>'
            )
    (folder / "measure.html").write_text(MEASURE.replace("FRAMES", frames))
    address = (folder / "measure.html").as_uri()
    profile = f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run(
        [CHROMIUM, *FLAGS, profile, "--dump-dom", address],
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = re.search(r'<pre id="result">(.+?)</pre>', done.stdout, re.S)
    assert found, done.stderr
    names = [f"{name} {s}" for name in pages for s in ("light", "dark")]
    return done.stderr, dict(zip(names, json.loads(found[1])))


def test_only_tables_scroll_sideways(seen):
    assert {name: page["overflow"] for name, page in seen[1].items()} == (
        dict.fromkeys(seen[1], 0)
    )


def test_nothing_is_loaded_and_nothing_is_wrong(seen):
    log, pages = seen
    assert not any(page["loaded"] for page in pages.values())
    assert "CONSOLE" not in log


def test_dark_pages_are_dark_and_all_text_stands_out(seen):
    for name, page in seen[1].items():
        assert page["low"] == []
        is_light = page["paper"] == "rgb(255, 255, 255)"
        assert is_light == name.endswith("light")


def test_text_of_charts_can_be_read(seen):
    for page in seen[1].values():
        assert page["smallest"] >= 9.5  # pixels

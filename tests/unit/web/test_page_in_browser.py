"""The page in a browser: upload, result, downloads; on a phone, in the dark.

Nothing but the page's own server may be asked for anything.
"""

import csv
import io
import json
import shutil
import socket
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
import torch

from auxformer_lobes.features.fbank import FbankFeatures
from auxformer_lobes.features.hog import HogFeatures
from auxformer_lobes.inference.audiovisual import AudioVisualEmotionRecognizer
from auxformer_lobes.inference.rows import timeline_header
from auxformer_lobes.models.auxformer import AuxFormer
from auxformer_lobes.tasks import CategoricalEmotion
from auxformer_lobes.testing import faces, portraits, videos, voices
from auxformer_lobes.web.analysis import Limits
from auxformer_lobes.web.page import HOST, serving

CHROMIUM = shutil.which("chromium")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--use-fake-device-for-media-stream"),
    "--use-fake-ui-for-media-stream",
]
PHONE = {"width": 390, "height": 844}
TASK = CategoricalEmotion(["angry", "happy", "sad"])
# Of each text that is seen, its contrast with what is behind it, by WCAG 2;
# bars in stripes of two colours, and players, have no text.
LOW_CONTRAST = """() => {
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = colour => {
    const [r, g, b] = numbers(colour).slice(0, 3).map(x => {
      x /= 255;
      return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = e => {
    while (e) {
      const colour = getComputedStyle(e).backgroundColor;
      if (numbers(colour)[3] !== 0) return colour;
      e = e.parentElement;
    }
  };
  const low = [];
  for (const e of document.querySelectorAll(".auxformer *")) {
    const text = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!text || e.closest("svg") || !e.checkVisibility()) continue;
    const pair = [getComputedStyle(e).color, paper(e)].map(luminance);
    const [dark, light] = pair.sort((x, y) => x - y);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) low.push(`${e.className} ${e.textContent} ${ratio}`);
  }
  return low;
}"""
IS_NEW = """id => {
  const found = document.querySelector("#result [data-id]");
  return found && found.dataset.id !== id;
}"""


def build(task):
    """A model of filterbanks and faces, not trained."""
    torch.manual_seed(0)
    fbank, hog = FbankFeatures(n_mels=4), HogFeatures()
    network = AuxFormer(
        *(fbank.dim, hog.dim),
        **dict(model_dim=8, num_heads=2, num_layers=1),
        num_classes=task.num_outputs,
    )
    modules = {
        "audio_norm": torch.nn.Identity(),
        "visual_norm": torch.nn.Identity(),
        "network": network,
    }
    hparams = {
        "task": task,
        "audio_features": fbank,
        "visual_features": hog,
        "feature_dtype": {"audio": "float32", "visual": "float32"},
        "min_face_quality": 1,
    }
    return AudioVisualEmotionRecognizer(modules, hparams, {"device": "cpu"})


def write_talk(path):
    """A synthetic face that speaks for a while and is silent then."""
    rng = np.random.default_rng(1)
    voice = voices.invent_voice(rng, "female")
    style = voices.VoiceStyle(*[0.0] * len(voices.VoiceStyle._fields))
    speech = voices.speak("it is eleven", voice, style, rng)
    rate = voices.SAMPLE_RATE
    waveform = np.zeros(round(3.2 * rate))
    spoken = 0.5 * speech[: round(0.7 * rate)]
    waveform[: len(spoken)] = spoken
    portrait = portraits.Portrait(faces.invent_face(rng, "female"))
    relaxed = portraits.Expression(*[0.0] * 7)
    images = faces.animate(portrait, relaxed, waveform, rate, 6, rng)
    videos.write_video(
        *(path, images, 6, waveform, rate, ("libvpx", "libopus"), 48000, "A")
    )


def free_port():
    """A port that nobody uses."""
    with socket.create_server((HOST, 0)) as server:
        return server.getsockname()[1]


@pytest.fixture(scope="module")
def addresses():
    """Refuses all connections but those of this machine; returns their list."""
    asked, own = [], ("127.0.0.1", "::1", "localhost", None)
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def _connect(self, address):
        if self.family == socket.AF_UNIX or address[0] in own:
            return connect(self, address)
        asked.append(address)
        raise OSError(f"no connection to {address}")

    def _resolve(host, *args, **options):
        if host in own:
            return resolve(host, *args, **options)
        asked.append(host)
        raise socket.gaierror(f"no address of {host}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", _connect)
        patch.setattr(socket, "getaddrinfo", _resolve)
        patch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody is there
        yield asked


@pytest.fixture(scope="module")
def seen(tmp_path_factory, addresses):
    """A visit: what the browser shows, measures, downloads and asks for."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium")
    from playwright.sync_api import sync_playwright

    work = tmp_path_factory.mktemp("page")
    write_talk(work / "talk.webm")
    (work / "text.mp4").write_text("no video at all\n" * 9)
    (work / "large.wav").write_bytes(bytes(2_000_001))
    found = SimpleNamespace(requests=[], errors=[], texts=[], downloads={})
    with (
        serving(
            *(build(TASK), "A model", Limits(2.0), free_port()), hop=1.0
        ) as address,
        sync_playwright() as playwright,
    ):
        url, folder = address
        # By a name of another page that leads here (DNS rebinding).
        found.rebound = httpx.get(url, headers={"host": "example.com"})
        context = playwright.chromium.launch_persistent_context(
            work / "profile",
            executable_path=CHROMIUM,
            args=FLAGS,
            viewport=PHONE,
            color_scheme="light",
        )
        page = context.pages[0]
        page.on("request", lambda request: found.requests.append(request.url))
        page.on("pageerror", lambda error: found.errors.append(str(error)))
        page.on(
            "console",
            lambda line: (
                line.type == "error" and found.errors.append(line.text)
            ),
        )
        page.goto(url)

        def _wait_for_result(act):
            shown = page.query_selector("#result [data-id]")
            before = shown and shown.get_attribute("data-id")
            act()
            page.wait_for_function(IS_NEW, arg=before)
            found.texts.append(page.inner_text("#result"))

        def _upload(name):
            _wait_for_result(
                lambda: page.set_input_files("[data-part=file]", work / name)
            )

        page.wait_for_selector("[data-part=file]", state="attached")
        page.set_input_files("[data-part=file]", work / "large.wav")
        found.texts.append(page.inner_text("[data-part=error]"))
        _upload("text.mp4")
        page.click("[data-record=video]")
        page.wait_for_function(
            "document.querySelector('[data-part=elapsed]').textContent > '0:00'"
        )
        _wait_for_result(lambda: page.click("[data-part=stop]"))
        _upload("talk.webm")
        page.wait_for_function(
            "document.querySelector('video[data-part=player]').readyState > 0"
        )
        found.moments = []
        for seconds in (0.0, 3.0):
            page.fill("[data-part=slider]", str(seconds))
            found.moments.append(page.inner_text(".moment"))
        found.measured = {}
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_function(
                f"document.body.classList.contains('dark') == "
                f"{str(scheme == 'dark').lower()}"
            )
            found.measured[scheme] = (
                page.evaluate(
                    """() => [
                  document.documentElement.scrollWidth - innerWidth,
                  getComputedStyle(document.querySelector("gradio-app"))
                    .backgroundColor,
                ]"""
                ),
                page.evaluate(LOW_CONTRAST),
            )
        for kind in ("CSV", "JSON"):
            with page.expect_download() as download:
                page.click(f"text=Download {kind}")
            name = download.value.suggested_filename
            found.downloads[name] = download.value.path().read_text("utf-8")
        found.left = [path for path in folder.rglob("*") if path.is_file()]
        context.close()
    found.url, found.folder, found.asked = url, folder, addresses
    return found


def test_other_names_of_this_computer_are_refused(seen):
    assert seen.rebound.status_code == 400


def test_a_mistake_is_one_line_and_the_next_file_works(seen):
    large, text, _, talk = seen.texts
    assert large == "large.wav: larger than 2 MB: cut out a part of it"
    assert text.strip().startswith("text.mp4: cannot be decoded: ")
    assert "\n" not in text.strip()
    assert talk.startswith("talk.webm")
    assert seen.errors == []


def test_camera_and_microphone_are_recorded(seen):
    recorded = seen.texts[2]
    assert recorded.startswith("recording.")
    assert "Face\nnot used: no face in any frame" in recorded


def test_a_moment_has_probabilities_and_the_modalities(seen):
    first, last = seen.moments
    assert first.startswith("At 0:00.0") and last.startswith("At 0:03.0")
    for moment in seen.moments:
        shares = [x[:-1] for x in moment.split() if x.endswith("%")]
        assert sum(map(int, shares[: TASK.num_outputs])) in (99, 100, 101)
    assert "Audio\nused" in first
    assert "Audio\nnot used: is silent" in last
    assert "Face\nused" in last


def test_downloads_are_those_of_the_commands(seen):
    header, *rows = csv.reader(io.StringIO(seen.downloads["talk.csv"]))
    assert header == timeline_header(TASK)
    objects = json.loads(seen.downloads["talk.json"])
    assert [(row[0], row[3]) for row in rows] == [
        (f"{made['start']:.3f}", made["label"]) for made in objects
    ]


def test_only_its_own_server_is_asked(seen):
    own = (seen.url, "data:", "blob:")
    assert [url for url in seen.requests if not url.startswith(own)] == []
    assert seen.requests
    assert seen.asked == []
    assert seen.url.startswith("http://127.0.0.1:")


def test_uploads_are_deleted_and_their_folder_at_the_end(seen):
    assert seen.left == []
    assert not seen.folder.exists()


def test_it_fits_a_phone_and_its_text_stands_out_in_light_and_dark(seen):
    (light, low), (dark, low_in_dark) = seen.measured.values()
    assert light == [0, "rgb(255, 255, 255)"]
    assert dark == [0, "rgb(19, 23, 27)"]
    assert low == low_in_dark == []

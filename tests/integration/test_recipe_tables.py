"""Every YAML of every recipe runs, with the flags of its recipe table.

The tables are in SpeechBrain's format, and are read as its own tests read
them: the flags are given from the repository's root, `file_exists` names
files of the output folder, `performance_check` bounds a logged value.
"""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from msp_improv_synthetic import make_synthetic_msp_improv

from tests.integration.recipes import (
    GLOO,
    NO_WORKERS,
    ROOT,
    run_script,
    torchrun,
    train,
)

TMP = ROOT / "tests" / "tmp"
ROWS = [
    row
    for table in sorted((ROOT / "tests" / "recipes").glob("*.csv"))
    for row in csv.DictReader(table.open(encoding="utf-8", newline=""))
]


@pytest.fixture(scope="module", autouse=True)
def what_the_flags_name(crema_d, crema_d_features):
    """Small corpora, small encoders, and features of each frame."""
    shutil.rmtree(TMP, ignore_errors=True)
    TMP.mkdir()
    (TMP / "CREMA-D").symlink_to(crema_d)
    shutil.copytree(crema_d_features, TMP / "features")
    make_tables(crema_d)
    # All turns are neutral: the audit refuses training on four classes.
    make_synthetic_msp_improv(TMP / "MSP-IMPROV", turns=1)
    make_encoders()
    rng = np.random.default_rng(0)
    for video in (crema_d / "VideoFlash").iterdir():
        folder = TMP / "emoca" / video.stem
        folder.mkdir(parents=True)
        for frame in range(12):
            code = rng.standard_normal(50).astype(np.float32)
            np.save(folder / f"{frame}.npy", code)
    yield
    shutil.rmtree(TMP)


def make_tables(crema_d):
    """Tables of the clips of a corpus, for the recipe of one's own clips."""
    with (
        open(TMP / "clips.csv", "w") as clips,
        open(TMP / "attributes.csv", "w") as attributes,
    ):
        clips.write("audio;video;speaker;emotion\n")
        attributes.write("audio;video;speaker;arousal;trust\n")
        for i, wav in enumerate(sorted((crema_d / "AudioWAV").iterdir())):
            speaker, _, emotion, _ = wav.stem.split("_")
            files = f"AudioWAV/{wav.name};VideoFlash/{wav.stem}.flv;{speaker};"
            clips.write(f"{files}{emotion}\n")
            attributes.write(f"{files}{i % 9},5;{i % 7}\n")


def make_encoders():
    """A wav2vec 2.0 and a ViT, and the YAML files that recipes include."""
    torch.manual_seed(0)
    speech = transformers.Wav2Vec2Config(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=48,
        conv_dim=(24,) * 7,
        num_conv_pos_embeddings=16,
        do_stable_layer_norm=True,
        feat_extract_norm="layer",
    )
    transformers.Wav2Vec2Model(speech).save_pretrained(TMP / "wav2vec2")
    extractor = transformers.Wav2Vec2FeatureExtractor()
    extractor.save_pretrained(TMP / "wav2vec2")
    image = transformers.ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        image_size=32,
        patch_size=16,
    )
    transformers.ViTModel(image).save_pretrained(TMP / "vit")
    processor = {"size": {"height": 32, "width": 32}}
    processor |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    processor["image_processor_type"] = "ViTImageProcessor"
    (TMP / "vit" / "preprocessor_config.json").write_text(json.dumps(processor))
    (TMP / "encoders").mkdir()
    (TMP / "encoders" / "speech.yaml").write_text(
        "!new:auxformer_lobes.features.speech_ssl.SpeechModelFeatures\n"
        "    source: tests/tmp/wav2vec2\n"
        "    save_path: tests/tmp/pretrained\n"
        "    keep_layers: 2\n"
    )
    (TMP / "encoders" / "image.yaml").write_text(
        "!new:auxformer_lobes.features.vision.ImageModelFeatures\n"
        "    source: tests/tmp/vit\n"
        "    save_path: tests/tmp/pretrained\n"
        "    frames_per_second: 5\n"
    )


def flags_of(row, output):
    """The flags of a row, and those of what is left open."""
    flags = [*row["test_debug_flags"].split(), *NO_WORKERS]
    return [row["Hparam_file"], *flags, f"--output_folder={output}"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["Hparam_file"])
def test_the_recipe_runs_with_its_flags(row):
    output = TMP / "runs" / row["Dataset"] / Path(row["Hparam_file"]).stem
    arguments = flags_of(row, output)
    checks = row["test_debug_checks"]
    result = train(
        *arguments,
        script=row["Script_file"],
        cwd=ROOT,
        figures="report.html" in checks,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.splitlines()[-1] == f"results: {output}"

    for name in re.search(r"file_exists=\[(.*?)\]", checks)[1].split(","):
        assert (output / name).is_file(), name
    check = re.search(r"performance_check=\[(.*?)\]", checks)[1]
    file, variable, limit, epoch = check.split(", ")
    lines = (output / file).read_text().splitlines()
    logged = next(line for line in lines if line.startswith(f"{epoch},"))
    value = float(re.search(rf"{variable}: ([-+.\de]+)", logged)[1])
    assert value <= float(limit.removeprefix("<="))


def test_encoders_are_trained_in_two_processes(tmp_path, capfd, monkeypatch):
    (row,) = (row for row in ROWS if "finetune" in row["Hparam_file"])
    monkeypatch.chdir(ROOT)
    script = ROOT / row["Script_file"]
    torchrun(run_script, script, *flags_of(row, tmp_path), *GLOO)
    assert capfd.readouterr().out.count(f"results: {tmp_path}") == 1

"""A finished run as recipes leave it, made in a second, for tests."""

import json
from io import StringIO

import torch
from hyperpyyaml import load_hyperpyyaml, resolve_references
from speechbrain.dataio.batch import PaddedBatch

from auxformer_lobes.core import AuxFormerBrain
from auxformer_lobes.evaluation.collection import (
    collect_details,
    collect_metrics,
)
from tests.unit.small_tasks import EMOTIONS, SCALES, random_predictions

TASKS = {
    "CategoricalEmotion": f"classes: [{', '.join(EMOTIONS)}]\n    label_rule: D",
    "MultiLabelEmotion": f"classes: [{', '.join(EMOTIONS)}]\n    binary: True",
    "DimensionalEmotion": f"names: [{', '.join(SCALES)}]",
}
# As in the recipes, but small. What can be computed there is computed here.
YAML = """\
seed: 1
__set_seed: !apply:speechbrain.utils.seed_everything [!ref <seed>]
label_rule: D
partition: 1
select_by: loss
data_folder: /home/jane_doe/corpus  # nobody else's business
output_folder: /home/jane_doe/results
min_face_quality: 1
number_of_epochs: 3

task: !new:auxformer_lobes.tasks.TASK

audio_features: !new:auxformer_lobes.features.fbank.FbankFeatures
    n_mels: 4
    deltas: False
visual_features: !new:auxformer_lobes.features.hog.HogFeatures
    faces: !new:auxformer_lobes.processing.faces.tracker.FaceTracker
        size: 16
    frames_per_second: 10

audio_store: !new:auxformer_lobes.dataio.feature_store.FeatureStore
    folder: /home/jane_doe/features
    features: !ref <audio_features>
    dtype: float32
visual_store: !new:auxformer_lobes.dataio.feature_store.FeatureStore
    folder: /home/jane_doe/features
    features: !ref <visual_features>

audio_norm: !new:auxformer_lobes.nnet.normalization.FeatureNorm
    dim: !ref <audio_features.dim>
visual_norm: !new:auxformer_lobes.nnet.normalization.FeatureNorm
    dim: !ref <visual_features.dim>
    clip: null

network: !new:auxformer_lobes.models.auxformer.AuxFormer
    audio_dim: !ref <audio_features.dim>
    visual_dim: !ref <visual_features.dim>
    audio_layers: !ref <audio_features.layers>
    num_classes: !ref <task.num_outputs>
    model_dim: 4
    num_heads: 2
    num_layers: 1
    pooling: attentive
    missing: mask

train_condition: !new:auxformer_lobes.augment.missing.ModalityDropout
shared_loss: !new:auxformer_lobes.nnet.losses.SharedLoss
    criterion: !ref <task.criterion>

modules:
    audio_norm: !ref <audio_norm>
    visual_norm: !ref <visual_norm>
    train_condition: !ref <train_condition>
    network: !ref <network>
    shared_loss: !ref <shared_loss>

model: !new:torch.nn.ModuleList
    - [!ref <audio_norm>, !ref <visual_norm>, !ref <network>]

test_conditions:
    - !new:auxformer_lobes.augment.missing.Available
    - !new:auxformer_lobes.augment.missing.Available
        modalities: [audio]

opt_class: !name:torch.optim.Adam
    lr: 0.001

checkpointer: !new:auxformer_lobes.utils.checkpoints.AtomicCheckpointer
    checkpoints_dir: /home/jane_doe/results/save
    recoverables:
        model: !ref <model>
"""
FBANK = """\
audio_features: !new:auxformer_lobes.features.fbank.FbankFeatures
    n_mels: 4
    deltas: False
"""
HOG = """\
visual_features: !new:auxformer_lobes.features.hog.HogFeatures
    faces: !new:auxformer_lobes.processing.faces.tracker.FaceTracker
        size: 16
    frames_per_second: 10
"""
CORPUS = {
    "name": "Made Up",
    "language": "en",
    "synthetic": False,
    "about": "Nobody acted anything in it.",
    "licence": "[none](https://example.org).",
}
# The development loss of each epoch: the best is neither first nor last.
LOSSES = (0.9, 0.5, 0.7)


def speech_features(**arguments):
    """A change of the YAML file: a speech model in place of `FBANK`."""
    name = "auxformer_lobes.features.speech_ssl.SpeechModelFeatures"
    lines = [f"    {key}: {value}\n" for key, value in arguments.items()]
    return FBANK, f"audio_features: !new:{name}\n{''.join(lines)}"


def make_run(folder, task="CategoricalEmotion", overrides=None, changes=()):
    """Makes a run; `changes` are pairs of texts in the YAML file.

    Returns the hyperparameters, with the weights of the best epoch.
    """
    text = YAML.replace("TASK", f"{task}\n    {TASKS[task]}")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    resolved = resolve_references(StringIO(text), overrides).getvalue()
    (folder / "save").mkdir(parents=True)
    (folder / "hyperparams.yaml").write_text(resolved)
    resolved = resolved.replace("/home/jane_doe/results", str(folder))
    hparams = load_hyperpyyaml(resolved)
    for norm in (hparams["audio_norm"], hparams["visual_norm"]):
        if hasattr(norm, "fit"):
            norm.fit([torch.randn(9, len(norm.mean))])
    states = []
    for epoch, loss in enumerate(LOSSES, start=1):
        for parameter in hparams["model"].parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        states.append(
            {k: v.clone() for k, v in hparams["model"].state_dict().items()}
        )
        hparams["checkpointer"].save_checkpoint(
            meta={"epoch": epoch, "loss": loss}
        )
    hparams["model"].load_state_dict(states[LOSSES.index(min(LOSSES))])
    hparams["model"].eval()
    for name in hparams["task"].settings:
        setattr(hparams["task"], name, 0.25)
    predictions = random_predictions(hparams["task"])
    baseline = {
        name: made.scores(hparams["task"], "combined", num_samples=20)
        for name, made in predictions.items()
    }
    metrics = collect_metrics(predictions, hparams["task"], num_samples=20)
    metrics["linear_baseline"] = baseline
    entries = {
        name: {"gender": ("female", "male")[speaker == "speaker0"]}
        for made in predictions.values()
        for name, speaker in zip(made.clips, made.speakers)
    }
    metrics.update(
        collect_details(
            *(predictions, predictions, hparams["task"], entries),
            num_samples=20,
        )
    )
    metrics["epoch"] = 1 + LOSSES.index(min(LOSSES))
    clip = {"spk_id": "F01", "duration": 90.0}
    clips = {"train": 4, "valid": 2, "test": 2}
    report = {
        "options": {"data_folder": "/home/jane_doe/corpus", "partition": 1},
        "card": CORPUS,
    }
    contents = {
        **{
            split: {str(i): clip for i in range(n)}
            for split, n in clips.items()
        },
        "metrics": metrics,
        "prepare_report": report,
    }
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return hparams


def batch_of(hparams, clips=3):
    """A batch of audio and visual features of different lengths."""
    generator = torch.Generator().manual_seed(0)
    dims = [hparams[f"{m}_features"].dim for m in ("audio", "visual")]
    return PaddedBatch(
        [
            {
                "audio": torch.randn(9 + i, dims[0], generator=generator),
                "visual": torch.randn(5 - i, dims[1], generator=generator),
                "audio_mask": torch.ones(9 + i, dtype=torch.bool),
                "visual_mask": torch.ones(5 - i, dtype=torch.bool),
            }
            for i in range(clips)
        ]
    )


@torch.no_grad()
def logits_of(modules, batch):
    """Logits of a Brain with these modules, by head."""
    brain = AuxFormerBrain(modules=modules)
    return brain.logits(brain.streams(batch))

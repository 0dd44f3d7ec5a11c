"""Our lobes in a recipe that knows nothing of them.

The Brain and the files have the form of SpeechBrain's recipes for emotion
recognition from sound (IEMOCAP): filterbanks, normalisation, embedding,
classifier, negative log-likelihood. One Brain runs what the YAML file builds,
be it ECAPA-TDNN or AuxFormer.
"""

import numpy as np
import pytest
import speechbrain as sb
import torch
from hyperpyyaml import load_hyperpyyaml
from speechbrain.dataio.batch import PaddedBatch

COMMON = """
seed: 1
__set_seed: !apply:speechbrain.utils.seed_everything [!ref <seed>]
n_mels: 24
out_n_neurons: 3

compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: !ref <n_mels>
mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False

modules:
    compute_features: !ref <compute_features>
    mean_var_norm: !ref <mean_var_norm>
    embedding_model: !ref <embedding_model>
    classifier: !ref <classifier>

log_softmax: !new:speechbrain.nnet.activations.Softmax
    apply_log: True
compute_cost: !name:speechbrain.nnet.losses.nll_loss
error_stats: !name:speechbrain.utils.metric_stats.MetricStats
    metric: !name:speechbrain.nnet.losses.classification_error
        reduction: batch
opt_class: !name:torch.optim.Adam
    lr: 0.003
"""
ECAPA_TDNN = """
embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
    input_size: !ref <n_mels>
    channels: [16, 16, 16, 16, 48]
    kernel_sizes: [5, 3, 3, 3, 1]
    dilations: [1, 2, 3, 4, 1]
    attention_channels: 8
    res2net_scale: 4
    lin_neurons: 16
classifier: !new:speechbrain.lobes.models.ECAPA_TDNN.Classifier
    input_size: 16
    out_neurons: !ref <out_n_neurons>
"""
AUXFORMER = """
embedding_model: !new:auxformer_lobes.models.unimodal.UnimodalAuxFormer
    modality: audio
    auxformer: !new:auxformer_lobes.models.auxformer.AuxFormer
        audio_dim: !ref <n_mels>
        visual_dim: 512
        model_dim: 16
        num_heads: 2
        num_layers: 1
        causal: False
        pooling: attentive
        num_classes: !ref <out_n_neurons>
classifier: !new:torch.nn.Identity
"""


class EmotionBrain(sb.Brain):
    """Recognises emotion in sound."""

    def compute_forward(self, batch, stage):
        """From waveforms to logarithms of probabilities."""
        batch = batch.to(self.device)
        waveforms, lens = batch.sig
        features = self.modules.compute_features(waveforms)
        features = self.modules.mean_var_norm(features, lens)
        embeddings = self.modules.embedding_model(features, lens)
        return self.hparams.log_softmax(self.modules.classifier(embeddings))

    def compute_objectives(self, predictions, batch, stage):
        """Negative log-likelihood of the emotions."""
        emotions, _ = batch.emo_encoded
        # [batch, classes], or [batch, 1, classes] of ECAPA-TDNN
        predictions = predictions.reshape(len(emotions), 1, -1)
        if stage != sb.Stage.TRAIN:
            self.errors.append(batch.id, predictions, emotions)
        return self.hparams.compute_cost(predictions, emotions)

    def on_stage_start(self, stage, epoch=None):
        """Counts errors anew."""
        self.errors = self.hparams.error_stats()


def sounds(count, seed):
    """Clips of three emotions, each of its own pitch."""
    rng = np.random.default_rng(seed)
    clips = {}
    for i in range(count):
        times = np.arange(rng.integers(4000, 8000)) / 16000
        tone = np.sin(2 * np.pi * 300 * 3 ** (i % 3) * times)
        sound = 0.1 * tone + 0.02 * rng.standard_normal(len(times))
        clips[f"{seed}_{i}"] = {
            "sig": torch.from_numpy(sound).float(),
            "emo_encoded": torch.tensor([i % 3]),
        }
    return sb.dataio.dataset.DynamicItemDataset(
        clips, output_keys=["id", "sig", "emo_encoded"]
    )


@pytest.mark.parametrize(
    "network", [ECAPA_TDNN, AUXFORMER], ids=["ecapa_tdnn", "auxformer"]
)
def test_the_yaml_file_alone_says_which_network_learns(network):
    hparams = load_hyperpyyaml(COMMON + network)
    brain = EmotionBrain(
        hparams["modules"], hparams["opt_class"], hparams, {"device": "cpu"}
    )
    options = {"batch_size": 6}
    brain.fit(range(12), sounds(24, 0), None, False, options)
    brain.evaluate(sounds(18, 1), test_loader_kwargs=options)
    assert brain.errors.summarize("average") < 0.4, "chance is 0.67"


def test_what_a_clip_is_batched_with_makes_no_difference():
    hparams = load_hyperpyyaml(COMMON + AUXFORMER)
    brain = EmotionBrain(hparams["modules"], hparams=hparams)
    brain.modules.eval()
    clips = list(sounds(3, 0))
    norm = hparams["mean_var_norm"]

    def _features(clips):
        waveforms, lens = PaddedBatch(clips).sig
        return norm(hparams["compute_features"](waveforms), lens), lens

    model = hparams["embedding_model"]
    features, lens = _features(clips)
    together = model(features, lens)
    for x, length, expected in zip(features, lens, together):
        frames = round(float(length) * len(x))
        (alone,) = model(x[None, :frames])
        torch.testing.assert_close(alone, expected, atol=1e-5, rtol=0)

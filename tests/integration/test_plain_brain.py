"""Our lobes in a recipe that was not written for them.

Brain and YAML files have the form of SpeechBrain's IEMOCAP recipe for emotion
recognition from audio: filterbanks, normalisation, embedding, classifier,
negative log-likelihood. The same Brain trains ECAPA-TDNN or AuxFormer, as the
YAML file says.
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
    """Recognises emotion from audio."""

    def compute_forward(self, batch, stage):
        """Log-probabilities, `[batch, classes]`."""
        batch = batch.to(self.device)
        waveforms, lens = batch.sig
        features = self.modules.compute_features(waveforms)
        features = self.modules.mean_var_norm(features, lens)
        embeddings = self.modules.embedding_model(features, lens)
        return self.hparams.log_softmax(self.modules.classifier(embeddings))

    def compute_objectives(self, predictions, batch, stage):
        """Negative log-likelihood."""
        emotions, _ = batch.emo_encoded
        # [batch, classes], or [batch, 1, classes] of ECAPA-TDNN
        predictions = predictions.reshape(len(emotions), 1, -1)
        if stage != sb.Stage.TRAIN:
            self.errors.append(batch.id, predictions, emotions)
        return self.hparams.compute_cost(predictions, emotions)

    def on_stage_start(self, stage, epoch=None):
        """Resets the error count."""
        self.errors = self.hparams.error_stats()


def make_clips(count, seed):
    """Clips of three emotions, each of its own pitch."""
    rng = np.random.default_rng(seed)
    clips = {}
    for i in range(count):
        times = np.arange(rng.integers(4000, 8000)) / 16000
        tone = np.sin(2 * np.pi * 300 * 3 ** (i % 3) * times)
        waveform = 0.1 * tone + 0.02 * rng.standard_normal(len(times))
        clips[f"{seed}_{i}"] = {
            "sig": torch.from_numpy(waveform).float(),
            "emo_encoded": torch.tensor([i % 3]),
        }
    return sb.dataio.dataset.DynamicItemDataset(
        clips, output_keys=["id", "sig", "emo_encoded"]
    )


@pytest.mark.parametrize(
    "network", [ECAPA_TDNN, AUXFORMER], ids=["ecapa_tdnn", "auxformer"]
)
def test_the_yaml_file_alone_chooses_the_network(network):
    hparams = load_hyperpyyaml(COMMON + network)
    brain = EmotionBrain(
        hparams["modules"], hparams["opt_class"], hparams, {"device": "cpu"}
    )
    clips, options = make_clips(24, seed=0), {"batch_size": 6}
    brain.fit(range(8), clips, None, False, options)
    loss = brain.evaluate(clips, test_loader_kwargs=options)
    assert loss < 0.9, "chance is log 3, 1.1"
    assert 0 <= brain.errors.summarize("average") <= 1


def test_a_clip_does_not_depend_on_its_batch():
    hparams = load_hyperpyyaml(COMMON + AUXFORMER)
    brain = EmotionBrain(hparams["modules"], hparams=hparams)
    brain.modules.eval()
    clips = list(make_clips(3, seed=0))
    norm = hparams["mean_var_norm"]

    def _features(clips):
        waveforms, lens = PaddedBatch(clips).sig
        return norm(hparams["compute_features"](waveforms), lens), lens

    model = hparams["embedding_model"]
    features, lens = _features(clips)
    batch = model(features, lens)
    for x, length, expected in zip(features, lens, batch):
        frames = round(float(length) * len(x))
        (alone,) = model(x[None, :frames])
        torch.testing.assert_close(alone, expected, atol=1e-5, rtol=0)

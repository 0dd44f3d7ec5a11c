"""Audio features: log Mel filterbanks, and wav2vec 2.0."""

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from speechbrain.integrations.huggingface.wav2vec2 import Wav2Vec2
from speechbrain.lobes.features import Fbank

from auxformer_lobes.errors import UserError
from auxformer_lobes.features.extractor import Extractor, Reading
from auxformer_lobes.features.media import read_audio


class FbankFeatures(Extractor):
    """SpeechBrain's log Mel filterbanks, with first and second derivatives.

    In dB, and at most 80 dB below the clip's loudest value.

    Arguments
    ---------
    sample_rate : int
        Hz; other sound is resampled.
    n_mels : int
        Mel filters.
    hop_length : int
        ms, from one frame to the next.
    win_length : int
        ms, of the window.
    deltas : bool
        Whether to add the derivatives over time.

    Example
    -------
    >>> FbankFeatures(n_mels=40).dim
    120
    """

    modality = "audio"

    def __init__(
        self,
        sample_rate=16000,
        n_mels=40,
        hop_length=10,
        win_length=25,
        deltas=True,
    ):
        self.fbank = Fbank(
            sample_rate=sample_rate,
            n_fft=sample_rate * win_length // 1000,
            n_mels=n_mels,
            hop_length=hop_length,
            win_length=win_length,
            deltas=deltas,
        )
        super().__init__(
            dim=3 * n_mels if deltas else n_mels,
            sample_rate=sample_rate,
            n_mels=n_mels,
            hop_length=hop_length,
            win_length=win_length,
            deltas=deltas,
        )

    def read(self, clip, path):
        """Returns the filterbanks of a clip, see `Extractor.read`."""
        waveform = read_audio(path, self.settings["sample_rate"])
        return Reading(self.fbank(waveform[None])[0])


class Wav2Vec2Features(Extractor):
    """The last hidden states of a wav2vec 2.0 without its upper layers.

    The encoder of the published system is `facebook/wav2vec2-large-robust`
    with 12 of its 24 layers, 50 frames a second of 1024 numbers. The
    waveform is normalised to mean 0 and variance 1, clip by clip, where the
    model's feature extractor says so (`do_normalize`).

    Arguments
    ---------
    source : str
        Hugging Face hub name, or a local folder.
    save_path : str
        Folder for what is downloaded.
    keep_layers : int
        Transformer layers that are kept, from the first; None for all.
    device : str
        Where the model runs; by default a GPU if there is one.

    Example
    -------
    >>> import tempfile
    >>> import transformers
    >>> folder = tempfile.mkdtemp()  # or "facebook/wav2vec2-large-robust"
    >>> config = transformers.Wav2Vec2Config(
    ...     hidden_size=48, intermediate_size=48, num_hidden_layers=4
    ... )
    >>> transformers.Wav2Vec2Model(config).save_pretrained(folder)
    >>> _ = transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    >>> features = Wav2Vec2Features(folder, folder, keep_layers=2)
    >>> features.encode([torch.zeros(48000)])[0].shape
    torch.Size([149, 48])
    """

    modality = "audio"
    sample_rate = 16000

    def __init__(self, source, save_path, keep_layers=12, device=None):
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.encoder = _pretrained(source, str(save_path))
        model = self.encoder.model
        layers = model.encoder.layers
        if keep_layers is not None:
            if not 1 <= keep_layers <= len(layers):
                raise UserError(
                    f"keep_layers: {keep_layers}, but {source} has "
                    f"{len(layers)} layers"
                )
            model.encoder.layers = layers[:keep_layers]
        # The least sound that gives one frame.
        self.least_samples = 1
        for kernel, stride in zip(
            reversed(model.config.conv_kernel),
            reversed(model.config.conv_stride),
        ):
            self.least_samples = (self.least_samples - 1) * stride + kernel
        super().__init__(
            dim=model.config.hidden_size,
            source=Path(source).name,
            keep_layers=len(model.encoder.layers),
            normalize=self.encoder.normalize_wav,
            weights=_digest(model),
        )

    def __getstate__(self):
        """Leaves out the encoder: workers only read."""
        return {**vars(self), "encoder": None}

    def read(self, clip, path):
        """Returns the waveform of a clip, see `Extractor.read`."""
        waveform = read_audio(path, self.sample_rate)
        missing = max(0, self.least_samples - len(waveform))
        return Reading(torch.nn.functional.pad(waveform, (0, missing)))

    def encode(self, values):
        """Returns the features of waveforms, see `Extractor.encode`."""
        # Moved when it is first needed: most runs find their features there.
        encoder = self.encoder.to(self.device)
        return [encoder(wav[None].to(self.device))[0] for wav in values]


def _pretrained(source, save_path):
    try:
        return Wav2Vec2(source, save_path, freeze=True, output_norm=False)
    except (OSError, ValueError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{source}: neither a folder with a wav2vec 2.0 model nor a model "
            f"on the Hugging Face hub that can be reached: {reason}"
        )


def _digest(model):
    """Returns what tells this model from any other, wherever it lies."""
    config = model.config.to_diff_dict()
    for unrelated in ("_name_or_path", "transformers_version"):
        config.pop(unrelated, None)
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name, weights in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weights.cpu().contiguous().numpy())
    return digest.hexdigest()[:16]

"""Hidden states of wav2vec 2.0, HuBERT and WavLM."""

import os
from functools import partial
from itertools import chain
from pathlib import Path

import torch
from speechbrain.integrations.huggingface.wav2vec2 import Wav2Vec2
from speechbrain.utils.data_utils import batch_pad_right
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel
from transformers.utils import cached_file

from auxformer_lobes.features.base import LEVEL, ClipInput, level_settings
from auxformer_lobes.features.checkpoints import (
    assign_weights,
    digest,
    download,
    load_errors,
    load_model,
    read_weights,
)
from auxformer_lobes.features.encoder_base import PRECISION, EncoderFeatures
from auxformer_lobes.features.weight_files import check_tensors
from auxformer_lobes.processing.audio import read_audio
from auxformer_lobes.processing.speech import normalize_loudness
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import (
    MODEL,
    WEIGHTS,
    either,
    integer,
    number,
    one_of,
    optional,
)

FAMILIES = ("wav2vec2", "hubert", "wavlm")
# Weight normalization in state dicts of torch before 2.0, and since.
WEIGHT_NORM = {
    "conv.weight_g": "conv.parametrizations.weight.original0",
    "conv.weight_v": "conv.parametrizations.weight.original1",
}
LAYERS = "encoder.layers."


class SpeechModelFeatures(EncoderFeatures):
    """Hidden states of wav2vec 2.0, HuBERT or WavLM, 50 frames/s.

    The encoder of the published system is `facebook/wav2vec2-large-robust`
    with 12 of its 24 layers. If the model's feature extractor asks for it
    (`do_normalize`), each waveform is normalised to mean 0 and variance 1. The
    weights are loaded at first use.

    Arguments
    ---------
    source : str
        Hugging Face hub name, or a local folder.
    save_path : str
        Cache of the files from the hub.
    keep_layers : int
        Transformer layers to keep, from the first; None for all.
    layer : str or int
        "last": the output of the model, after its final norm. A number, from
        1: the output of this transformer layer. "all": the input of the first
        layer and the outputs of all layers, concatenated, for a
        `WeightedLayerSum`.
    weights : str
        A state dict of the model with `keep_layers` layers, such as
        `final_wav2vec.pt` or `final_model.pt` of the authors of AuxFormer. It
        is read with `weights_only=True`, so that it cannot run code. `source`
        then gives the configuration only.
    batch_seconds : float
        Audio per batch on the device, padding included, s; a longer clip is a
        batch of its own. Less if it exceeds a GPU's memory.
    device : str
        See `EncoderFeatures`.
    precision : str
        See `EncoderFeatures`.
    normalize_level : float
        Integrated loudness to which each clip is scaled, LUFS (ITU-R BS.1770),
        such as -23; None leaves the level as it is. The level is a cue for
        emotion, but differs between microphones too.
        Models with `do_normalize` see no difference.

    Raises
    ------
    UserError
        If the model cannot be used, or has no such layers.

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
    >>> features = SpeechModelFeatures(folder, folder, keep_layers=2)
    >>> features.encode([torch.zeros(48000)])[0].shape
    torch.Size([149, 48])
    """

    modality = "audio"
    sample_rate = 16000
    schema = {
        "source": MODEL,
        "keep_layers": optional(integer(1, 1000)),
        "layer": either(one_of("last", "all"), integer(1, 1000)),
        "weights": optional(WEIGHTS),
        "batch_seconds": number(0, 3600),
        "precision": PRECISION,
        "normalize_level": LEVEL,
    }

    def __init__(
        self,
        source,
        save_path,
        keep_layers=None,
        layer="last",
        weights=None,
        batch_seconds=60.0,
        device=None,
        precision=None,
        normalize_level=None,
    ):
        self.level_settings = level_settings(normalize_level)
        self.normalize_level = normalize_level
        self.source = str(source)
        self.save_path = str(save_path)
        self.layer = layer
        self.weights = weights
        self.batch_seconds = batch_seconds
        with load_errors(source):
            hub = {"cache_dir": self.save_path}
            safe = {**hub, "trust_remote_code": False}
            config = AutoConfig.from_pretrained(self.source, **safe)
            if config.model_type not in FAMILIES:
                raise UserError(
                    f"{source}: its model type is {config.model_type}: choose "
                    f"one of {', '.join(FAMILIES)}"
                )
            processor = AutoFeatureExtractor.from_pretrained(
                self.source, **safe
            )
        self.num_layers = _num_layers(source, config, keep_layers, layer)
        # A file with weights may have layers above a single `layer`.
        self.file_layers = keep_layers or config.num_hidden_layers
        if layer == "all":
            self.layers = self.num_layers + 1
        self.normalize = processor.do_normalize
        self.convolutions = [*zip(config.conv_kernel, config.conv_stride)]
        if any(min(sizes) < 1 for sizes in self.convolutions):
            raise UserError(
                f"{source}: conv_kernel and conv_stride must be at least 1"
            )
        # Group norm and batch norm average over padding too: with them, only
        # clips of one length form a batch.
        self.may_pad = config.feat_extract_norm == "layer" and not getattr(
            config, "conv_pos_batch_norm", False
        )
        if weights is None:
            self.folder = download(self.source, self.save_path)
            found = digest(self.folder)
        else:
            self.folder = self.source
            config_file = cached_file(self.source, "config.json", **hub)
            found = digest(config_file) + digest(weights)
        super().__init__(
            self.layers * config.hidden_size,
            device,
            precision,
            source=Path(source).name,
            keep_layers=self.num_layers,
            layer=layer,
            normalize=self.normalize,
            weights=found,
            **self.level_settings,
        )

    @property
    def read_settings(self):
        """Those of the waveform, not of the model."""
        return {
            "sample_rate": self.sample_rate,
            "normalize": self.normalize,
            **self.level_settings,
        }

    def load(self):
        """Loads SpeechBrain's wrapper of the model, see `EncoderFeatures`."""
        if self.weights is None:
            load = partial(load_model, self.source, self.folder)
        else:
            load = partial(_load_weights, self.weights, self.file_layers)
        encoder = _Encoder(
            self.folder,
            self.save_path,
            num_layers=self.num_layers,
            load=load,
            every_layer=self.layer == "all",
        )
        if isinstance(self.layer, int) and encoder.config.do_stable_layer_norm:
            # Such models apply a final norm after the last layer.
            encoder.model.encoder.layer_norm = torch.nn.Identity()
        return encoder

    def read(self, clip, path):
        """Reads the waveform of a clip, see `Extractor.read`."""
        waveform = normalize_loudness(
            read_audio(path, self.sample_rate),
            self.sample_rate,
            self.normalize_level,
        )
        if self.normalize:
            # As in transformers, but always without padding.
            waveform = torch.nn.functional.layer_norm(
                waveform, waveform.shape, eps=1e-7
            )
        return ClipInput(waveform)

    def forward(self, batch):
        """Encodes a batch of waveforms, see `EncoderFeatures.forward`."""
        padded, lens = batch_pad_right(batch)
        # The wrapper's `forward` would run without gradients.
        hidden = self.encoder.extract_features(
            self.to_device(padded).to(self.encoder.model.dtype),
            self.to_device(lens) if lens.min() < 1 else None,
        )
        if self.layer == "all":
            # [layers, batch, time, dim] to [batch, time, layers * dim]
            hidden = hidden.permute(1, 2, 0, 3).flatten(2)
        return hidden

    def limit_batches(self, batch):
        """Limits `batch_seconds`, see `EncoderFeatures.limit_batches`."""
        self.batch_seconds = len(batch) * len(batch[-1]) / self.sample_rate

    def encode_with_grad(self, data, to_cpu=False):
        """Encodes waveforms, see `EncoderFeatures.encode_with_grad`."""
        data = [self._pad_to_one_frame(waveform) for waveform in data]
        features, order = [None] * len(data), []
        outputs = self.run(self._batches(data, order), to_cpu)
        for i, states in zip(order, chain.from_iterable(outputs)):
            features[i] = states[: self._num_frames(len(data[i]))]
        return features

    def _pad_to_one_frame(self, waveform):
        samples = 1  # receptive field of one frame, from the last layer down
        for kernel, stride in reversed(self.convolutions):
            samples = (samples - 1) * stride + kernel
        missing = max(0, samples - len(waveform))
        return torch.nn.functional.pad(waveform, (0, missing))

    def _batches(self, data, order):
        """Yields batches of similar length; adds their indices to `order`."""
        batch = []
        for i in sorted(range(len(data)), key=lambda i: len(data[i])):
            # Padding included; the longest is the last.
            samples = (len(batch) + 1) * len(data[i])
            full = samples > self.batch_seconds * self.sample_rate
            longer = batch and len(data[i]) > len(batch[0])
            if batch and (full or (longer and not self.may_pad)):
                yield batch
                batch = []
            batch.append(data[i])
            order.append(i)
        if batch:
            yield batch

    def _num_frames(self, samples):
        """Frames of a waveform without padding."""
        for kernel, stride in self.convolutions:
            samples = (samples - kernel) // stride + 1
        return samples


class _Encoder(Wav2Vec2):
    """SpeechBrain's wrapper, the same for the three families.

    It keeps the lower layers only, and loads the model by `load`: SpeechBrain
    would leave parameters that a file lacks random.
    """

    def __init__(self, source, save_path, num_layers, load, every_layer):
        # The constructor of the parent calls the methods below.
        self.num_layers = num_layers
        self.load = load
        self.every_layer = every_layer
        super().__init__(
            source, save_path, freeze=True, output_all_hiddens=every_layer
        )
        # `SpeechModelFeatures.read` has normalised the waveforms.
        self.normalize_wav = False

    def override_config(self, config):
        """Removes layers that are not needed before memory is allocated."""
        config.num_hidden_layers = self.num_layers
        # It would follow the transformer, at a lower frame rate.
        config.add_adapter = False
        if self.every_layer:
            # A layer skipped in training would be missing in the stack.
            config.layerdrop = 0.0
        return config

    def _from_pretrained(self, *args, **kwargs):
        self.model = self.load(config=self.config)


def _num_layers(source, config, keep_layers, layer):
    """Number of layers to load; checks `keep_layers` and `layer`."""
    kept = config.num_hidden_layers
    if keep_layers is not None:
        if not isinstance(keep_layers, int) or not 1 <= keep_layers <= kept:
            raise UserError(
                f"keep_layers must be an integer from 1 to {kept}, not "
                f"{keep_layers}: {source} has {kept} layers"
            )
        kept = keep_layers
    if layer in ("last", "all"):
        return kept
    if not isinstance(layer, int) or not 1 <= layer <= kept:
        raise UserError(
            f"layer must be last, all or an integer from 1 to {kept}, not "
            f"{layer}, for {source}"
        )
    return layer


def _load_weights(path, file_layers, config):
    """Builds a model from a state dict with `file_layers` layers."""
    state = read_weights(path)
    check_tensors(path, state.values())
    # A model saved as part of another module has a common prefix.
    prefix, dot, _ = os.path.commonprefix([*state]).rpartition(".")
    for name in [*state]:
        renamed = name[len(prefix + dot) :]
        for old, new in WEIGHT_NORM.items():
            renamed = renamed.replace(old, new)
        state[renamed] = state.pop(name)
    layers = {k: k.split(".")[2] for k in state if k.startswith(LAYERS)}
    # Drop the layers above a single `layer`. With any other number of layers
    # the file is of another model, and `assign_weights` says so.
    if {*layers.values()} == {str(i) for i in range(file_layers)}:
        for name, number in layers.items():
            if int(number) >= config.num_hidden_layers:
                del state[name]
    state = {k: x for k, x in state.items() if not k.startswith("adapter.")}
    with torch.device("meta"):
        model = AutoModel.from_config(config)
    # Used in pretraining only; not every file has it, nor every model.
    if hasattr(model, "masked_spec_embed"):
        state.setdefault("masked_spec_embed", torch.zeros(config.hidden_size))
    else:
        state.pop("masked_spec_embed", None)
    assign_weights(model, state, path)
    return model

"""Hidden states of speech models: wav2vec 2.0, HuBERT and WavLM."""

import os
from functools import cached_property, partial
from pathlib import Path

import torch
from speechbrain.integrations.huggingface.wav2vec2 import Wav2Vec2
from speechbrain.utils.data_utils import batch_pad_right
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel
from transformers.utils import cached_file

from auxformer_lobes.features.base import ClipInput, Extractor
from auxformer_lobes.features.checkpoints import (
    digest,
    download,
    fill,
    load_errors,
    load_model,
    read_weights,
)
from auxformer_lobes.processing.media import read_audio
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
# Names of torch before 2.0, and today's.
WEIGHT_NORM = {
    "conv.weight_g": "conv.parametrizations.weight.original0",
    "conv.weight_v": "conv.parametrizations.weight.original1",
}
LAYERS = "encoder.layers."


class SpeechModelFeatures(Extractor):
    """Hidden states of a wav2vec 2.0, HuBERT or WavLM, 50 a second.

    The encoder of the published system is `facebook/wav2vec2-large-robust`
    with 12 of its 24 layers. The waveform is normalised to mean 0 and
    variance 1, clip by clip, where the model's feature extractor says so
    (`do_normalize`). The weights are read when they are first needed.

    Arguments
    ---------
    source : str
        Hugging Face hub name, or a local folder.
    save_path : str
        Folder for what is downloaded.
    keep_layers : int
        Transformer layers that are kept, from the first; None for all.
    layer : str or int
        "last": what the model puts out, after its final norm. A number, from
        1: what this transformer layer puts out. "all": the input of the first
        layer and what each layer puts out, side by side, for a `WeightedLayerSum`.
    weights : str
        A state dict of the model with `keep_layers` layers, as the authors
        of AuxFormer have one: `final_wav2vec.pt`, also `final_model.pt`. It
        is read with `weights_only=True`: it cannot run code. Of `source`,
        only the configuration is used then.
    batch_seconds : float
        s, of sound and padding in a batch; a longer clip is one by itself.
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
    ):
        self.source = str(source)
        self.save_path = str(save_path)
        self.layer = layer
        self.weights = weights
        self.batch_seconds = batch_seconds
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        with load_errors(source):
            hub = {"cache_dir": self.save_path}
            safe = {**hub, "trust_remote_code": False}
            config = AutoConfig.from_pretrained(self.source, **safe)
            if config.model_type not in FAMILIES:
                raise UserError(
                    f"{source}: its model type is {config.model_type}; these "
                    f"can be used: {', '.join(FAMILIES)}"
                )
            reader = AutoFeatureExtractor.from_pretrained(self.source, **safe)
        self.num_layers = _num_layers(source, config, keep_layers, layer)
        # Of a file with weights, which may go beyond the single layer.
        self.file_layers = keep_layers or config.num_hidden_layers
        if layer == "all":
            self.layers = self.num_layers + 1
        self.normalize = reader.do_normalize
        self.convolutions = [*zip(config.conv_kernel, config.conv_stride)]
        if any(min(sizes) < 1 for sizes in self.convolutions):
            raise UserError(f"{source}: conv_kernel or conv_stride below 1")
        # Padding changes what group norm and batch norm make of a clip.
        self.padded = config.feat_extract_norm == "layer" and not getattr(
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
            dim=self.layers * config.hidden_size,
            source=Path(source).name,
            keep_layers=self.num_layers,
            layer=layer,
            normalize=self.normalize,
            weights=found,
        )

    def __getstate__(self):
        """Leaves out the encoder: workers only read."""
        return {k: v for k, v in vars(self).items() if k != "encoder"}

    @property
    def read_settings(self):
        """None of the model, see `Extractor.read_settings`."""
        return {"sample_rate": self.sample_rate, "normalize": self.normalize}

    @cached_property
    def encoder(self):
        """SpeechBrain's wrapper with the model, on the device."""
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
            # The final norm, which follows the last layer of such a model.
            encoder.model.encoder.layer_norm = torch.nn.Identity()
        return encoder.to(self.device)

    def read(self, clip, path):
        """Returns the waveform of a clip, see `Extractor.read`."""
        waveform = read_audio(path, self.sample_rate)
        if self.normalize:
            # As transformers does, and over this clip without any padding.
            waveform = torch.nn.functional.layer_norm(
                waveform, waveform.shape, eps=1e-7
            )
        return ClipInput(waveform)

    @torch.no_grad()
    def encode(self, values):
        """Returns the features of waveforms, see `Extractor.encode`."""
        features = [None] * len(values)
        for batch in self._batches(values):
            encoded = self.run([values[i] for i in batch])
            for i, hidden in zip(batch, encoded):
                features[i] = hidden.cpu()
        return features

    def run(self, values):
        """Encodes waveforms that have been read, for training too.

        The encoder is frozen at first; where its parameters are set to
        require gradients, the features have them. What a clip gives does not
        depend on the clips beside it.

        Arguments
        ---------
        values : list of torch.Tensor
            The waveform of each clip, `[time]`.

        Returns
        -------
        features : list of torch.Tensor
            `[time, dim]` of each clip, on the device.
        """
        values = [self._at_least_a_frame(waveform) for waveform in values]
        features = [None] * len(values)
        for batch in self._batches(values):
            waveforms, lens = batch_pad_right([values[i] for i in batch])
            # Not `forward`, which would cut the gradients.
            hidden = self.encoder.extract_features(
                waveforms.to(self.device),
                lens.to(self.device) if lens.min() < 1 else None,
            )
            if self.layer == "all":
                # [layers, batch, time, dim] to [batch, time, layers * dim]
                hidden = hidden.permute(1, 2, 0, 3).flatten(2)
            for i, states in zip(batch, hidden):
                features[i] = states[: self._num_frames(len(values[i]))]
        return features

    def _at_least_a_frame(self, waveform):
        least = 1  # sample
        for kernel, stride in reversed(self.convolutions):
            least = (least - 1) * stride + kernel
        missing = max(0, least - len(waveform))
        return torch.nn.functional.pad(waveform, (0, missing))

    def _batches(self, values):
        """Groups clips of similar length, as many as fit into a batch."""
        lengths = [len(waveform) for waveform in values]
        batch = []
        for i in sorted(range(len(lengths)), key=lengths.__getitem__):
            samples = (len(batch) + 1) * lengths[i]
            full = samples > self.batch_seconds * self.sample_rate
            longer = batch and lengths[i] > lengths[batch[0]]
            if batch and (full or (longer and not self.padded)):
                yield batch
                batch = []
            batch.append(i)
        if batch:
            yield batch

    def _num_frames(self, samples):
        for kernel, stride in self.convolutions:
            samples = (samples - kernel) // stride + 1
        return samples


class _Encoder(Wav2Vec2):
    """SpeechBrain's wrapper, which is the same one for the three families.

    With the lower layers only, and no random weights among them: SpeechBrain
    leaves those that a file lacks as they are.
    """

    def __init__(self, source, save_path, num_layers, load, every_layer):
        # The methods below are called while the parent is made.
        self.num_layers = num_layers
        self.load = load
        self.every_layer = every_layer
        super().__init__(
            source, save_path, freeze=True, output_all_hiddens=every_layer
        )
        # Waveforms come normalised, clip by clip.
        self.normalize_wav = False

    def override_config(self, config):
        """Leaves out what is not needed, before it takes any memory."""
        config.num_hidden_layers = self.num_layers
        # It follows the transformer, and gives fewer frames.
        config.add_adapter = False
        if self.every_layer:
            # A layer that is skipped in training would be missing.
            config.layerdrop = 0.0
        return config

    def _from_pretrained(self, *args, **kwargs):
        self.model = self.load(config=self.config)


def _num_layers(source, config, keep_layers, layer):
    """How many layers of a model its features need."""
    kept = config.num_hidden_layers
    if keep_layers is not None:
        if not isinstance(keep_layers, int) or not 1 <= keep_layers <= kept:
            raise UserError(
                f"keep_layers: {keep_layers} is no whole number from 1 to "
                f"{kept}: {source} has {kept} layers"
            )
        kept = keep_layers
    if layer in ("last", "all"):
        return kept
    if not isinstance(layer, int) or not 1 <= layer <= kept:
        raise UserError(
            f"layer: {layer} of {source} is neither last, nor all, nor a "
            f"number from 1 to {kept}"
        )
    return layer


def _load_weights(path, file_layers, config):
    """Builds a model with the state dict in a file of so many layers."""
    state = read_weights(path)
    # Saved from inside other modules, all names begin alike.
    prefix, dot, _ = os.path.commonprefix([*state]).rpartition(".")
    for name in [*state]:
        renamed = name[len(prefix + dot) :]
        for old, new in WEIGHT_NORM.items():
            renamed = renamed.replace(old, new)
        state[renamed] = state.pop(name)
    layers = {k: k.split(".")[2] for k in state if k.startswith(LAYERS)}
    # Those above a single layer; any other number of layers is a mistake.
    if {*layers.values()} == {str(i) for i in range(file_layers)}:
        for name, number in layers.items():
            if int(number) >= config.num_hidden_layers:
                del state[name]
    state = {k: x for k, x in state.items() if not k.startswith("adapter.")}
    with torch.device("meta"):
        model = AutoModel.from_config(config)
    # It masks inputs in training; not every file has it, nor every model.
    if hasattr(model, "masked_spec_embed"):
        state.setdefault("masked_spec_embed", torch.zeros(config.hidden_size))
    else:
        state.pop("masked_spec_embed", None)
    fill(model, state, path)
    return model

"""How features enter a network: masked, mixed and projected to one width."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from auxformer_lobes.models.base import AudioVisualNetwork
from auxformer_lobes.nnet.layer_sum import WeightedLayerSum
from auxformer_lobes.nnet.pooling import POOLING, valid_frames
from auxformer_lobes.nnet.shortcut import StatisticsShortcut
from auxformer_lobes.utils.modalities import MODALITIES
from auxformer_lobes.utils.schema import CHANNELS, FLAG, SHARE, integer, one_of

# Arguments that networks share, see `Configurable`.
SCHEMA = {
    "audio_dim": CHANNELS,
    "visual_dim": CHANNELS,
    "model_dim": CHANNELS,
    "num_heads": CHANNELS,
    "num_layers": integer(1, 200),
    "num_classes": CHANNELS,
    "audio_layers": integer(1, 1000),
    "visual_layers": integer(1, 1000),
    "audio_stack": integer(1, 1000),
    "visual_stack": integer(1, 1000),
    "shortcut": FLAG,
    "causal": FLAG,
    "pooling": one_of(*POOLING),
    "missing": one_of("mask", "zero_fill"),
    "embedding_dropout": SHARE,
    "attention_dropout": SHARE,
    "relu_dropout": SHARE,
    "residual_dropout": SHARE,
    "head_dropout": SHARE,
}


class StreamNetwork(AudioVisualNetwork):
    """A network that brings the streams that it reads to one width first.

    Its modules are `<modality>_layer_sum` and `<modality>_projection`, for each
    of its `modalities`. A subclass declares `heads`, and scores streams in
    `score`.

    Arguments
    ---------
    dims : dict of int
        Modality → channels of its features.
    layers : dict of int
        Modality → encoder layers that lie side by side in its features (see
        `WeightedLayerSum`).
    projections : dict of bool
        Modality → whether its features are projected to `model_dim`. None:
        where their width differs from it.
    model_dim : int
        Width of the model.
    num_classes : int
        Number of classes.
    missing : str
        How a missing modality or a lost frame is treated. "mask": no stream
        attends to it. "zero_fill": its frames are zeros.
    stacks : dict of int
        Modality → neighbouring frames that are stacked into one.
    shortcut : bool
        Whether each head has a `StatisticsShortcut`.
    shortcut_dropout : float
        Dropout of its statistics.

    Example
    -------
    >>> class AudioMean(StreamNetwork):
    ...     heads = {"audio": ("audio",)}
    >>> dims = {"audio": 40, "visual": 30}
    >>> network = AudioMean(dims, dict(audio=2), dict(audio=True), 8, 6)
    >>> features = network.admit_features({"audio": torch.rand(1, 9, 40)})
    >>> streams = network.project_streams(features)
    >>> {modality: x.shape for modality, (x, _, _) in streams.items()}
    {'audio': torch.Size([1, 9, 8])}
    """

    def __init__(
        self,
        dims,
        layers,
        projections,
        model_dim,
        num_classes,
        missing="mask",
        stacks=None,
        shortcut=False,
        shortcut_dropout=0.0,
    ):
        super().__init__()
        if missing not in ("mask", "zero_fill"):
            raise ValueError(
                f"missing {missing!r} is neither mask nor zero_fill"
            )
        self.dims = dims
        self.num_classes = num_classes
        self.missing = missing
        self.stacks = stacks or self.stacks
        for name, count in self.stacks.items():
            if type(count) is not int or count < 1:
                raise ValueError(f"{name}_stack {count}: choose 1 or more")
        widths = {}
        for name in self.modalities:
            widths[name], layer_sum = _layer_sum(name, dims[name], layers[name])
            self.add_module(f"{name}_layer_sum", layer_sum)
        for name, width in widths.items():
            self.add_module(
                f"{name}_projection",
                _projection(
                    name,
                    width * self.stacks[name],
                    model_dim,
                    projections[name],
                ),
            )
        self.shortcut = None
        if shortcut:
            self.shortcut = StatisticsShortcut(
                widths, self.heads, num_classes, shortcut_dropout
            )

    def forward(
        self,
        audio,
        visual,
        audio_lens=None,
        visual_lens=None,
        present=None,
        audio_mask=None,
        visual_mask=None,
        **options,
    ):
        """Recognises the emotion of each sample.

        Arguments
        ---------
        audio : torch.Tensor
            Audio features, `[batch, time, audio_dim]`.
        visual : torch.Tensor
            Visual features, `[batch, time, visual_dim]`.
        audio_lens : torch.Tensor
            Relative lengths of the audio, `[batch]`; whole without.
        visual_lens : torch.Tensor
            Relative lengths of the visual features, `[batch]`.
        present : torch.Tensor
            Whether each sample has (audio, visual), boolean `[batch, 2]`; by
            default, what has a length. A modality may be missing, and both
            may: the logits are finite.
        audio_mask : torch.Tensor
            Frames that were not lost, boolean `[batch, time]`; all by
            default. A lost frame keeps its place in time.
        visual_mask : torch.Tensor
            Likewise.
        **options
            Further arguments of `score`.

        Returns
        -------
        dict of torch.Tensor
            Logits: head → `[batch, classes]`; or what `score` returns with
            the options.
        """
        features = self.admit_features(
            {"audio": audio, "visual": visual},
            {"audio": audio_lens, "visual": visual_lens},
            present,
            {"audio": audio_mask, "visual": visual_mask},
        )
        scores = self.score(self.project_streams(features), **options)
        if self.shortcut is not None:
            logits = scores if isinstance(scores, dict) else scores[0]
            for head, added in self.shortcut(features).items():
                logits[head] = logits[head] + added
        return scores

    def score(self, streams):
        """Scores each class.

        Arguments
        ---------
        streams : dict of tuple
            What `project_streams` returns.

        Returns
        -------
        dict of torch.Tensor
            Head → `[batch, classes]`.
        """
        raise NotImplementedError

    def admit_features(self, features, lens=None, present=None, masks=None):
        """Masks the features that the network reads, and mixes their layers.

        Arguments
        ---------
        features : dict of torch.Tensor
            Modality → `[batch, time, channels]`. Padding and lost frames may
            hold anything, NaN too.
        lens : dict of torch.Tensor
            Modality → relative lengths, `[batch]`; None: whole.
        present : torch.Tensor
            Whether each sample has (audio, visual), boolean `[batch, 2]`; by
            default, what has a length.
        masks : dict of torch.Tensor
            Modality → frames that were not lost, boolean `[batch, time]`;
            None: all.

        Returns
        -------
        dict of tuple
            Modality → its features `[batch, time, channels]`, zero where they
            are not valid; the valid frames of each sample, `[batch]`; and which
            of them were not lost, boolean `[batch, time]`, or None where all
            are to be attended to.
        """
        admitted = {}
        for name in self.modalities:
            x = features[name]
            there = x.new_ones(x.shape[0], dtype=torch.bool)
            if present is not None:
                there = present[:, MODALITIES.index(name)]
            x, frames, mask = self._admit(
                x, lens and lens[name], there, masks and masks[name]
            )
            x = self.get_submodule(f"{name}_layer_sum")(x)
            admitted[name] = x, frames, mask
        return admitted

    def project_streams(self, features):
        """Stacks frames, and projects them to the width of the model.

        Arguments
        ---------
        features : dict of tuple
            What `admit_features` returns.

        Returns
        -------
        dict of tuple
            The same with streams `[batch, time, model_dim]`.
        """
        streams = {}
        for name, stream in features.items():
            x, frames, mask = stack_frames(*stream, self.stacks[name])
            x = self.get_submodule(f"{name}_projection")(x)
            streams[name] = x, frames, mask
        return streams

    def _admit(self, x, lens, present, mask):
        """Valid frames, all others set to zero; their number; what was lost."""
        if x.shape[1] == 0:
            x = x.new_zeros(x.shape[0], 1, x.shape[2])
            present, mask = torch.zeros_like(present), None
        num_frames = x.shape[1]
        frames = torch.full_like(present, num_frames, dtype=torch.long)
        if lens is not None:
            frames = (lens * num_frames).round().long()
        seen = frames * present
        valid = valid_frames(x, seen, mask)
        # Not a product: the padding may hold anything, NaN too.
        x = x.masked_fill(~valid.unsqueeze(-1), 0.0)
        if self.missing == "zero_fill":
            return x, frames, None
        return x, seen, mask if mask is None else valid


def stack_frames(x, frames, mask, count):
    """Puts the channels of neighbouring frames side by side.

    Arguments
    ---------
    x : torch.Tensor
        `[batch, time, channels]`, zero where it is not valid.
    frames : torch.Tensor
        Valid frames of each sample, `[batch]`.
    mask : torch.Tensor
        Frames that were not lost, boolean `[batch, time]`; None for all.
    count : int
        Frames that become one; it is lost if all of them are.

    Returns
    -------
    x : torch.Tensor
        `[batch, time / count, count * channels]`, rounded up.
    frames : torch.Tensor
        `[batch]`.
    mask : torch.Tensor
        Boolean `[batch, time / count]`, or None.

    Example
    -------
    >>> x = torch.tensor([[[1.0], [2.0], [3.0]]])
    >>> stack_frames(x, torch.tensor([3]), None, 2)
    (tensor([[[1., 2.],
             [3., 0.]]]), tensor([2]), None)
    """
    if count == 1:
        return x, frames, mask
    missing = -x.shape[1] % count
    x = F.pad(x, (0, 0, 0, missing)).unflatten(1, (-1, count)).flatten(2)
    if mask is not None:
        # As bytes: of padded booleans, Inductor makes code for a CPU that fails.
        mask = F.pad(mask.byte(), (0, missing)).unflatten(1, (-1, count))
        mask = mask.amax(2).bool()
    return x, -(-frames // count), mask


def _layer_sum(name, dim, layers):
    """Width of the features once their layers are mixed, and what mixes."""
    if dim % layers:
        raise ValueError(f"{name}_dim {dim} is not {layers} layers of a width")
    return dim // layers, WeightedLayerSum(
        layers
    ) if layers > 1 else nn.Identity()


def _projection(name, dim, model_dim, wanted):
    """A 1×1 convolution over time, where it is wanted or needed."""
    if wanted is None:
        wanted = dim != model_dim
    if wanted:
        return nn.Linear(dim, model_dim, bias=False)
    if dim != model_dim:
        raise ValueError(
            f"{name}_dim {dim} is not model_dim {model_dim}: "
            f"{name}_projection is needed"
        )
    return nn.Identity()

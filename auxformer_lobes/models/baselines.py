"""Networks to compare AuxFormer with, of the same parts and sizes.

Early and late fusion, MulT, and networks on one modality. They treat padding,
lost frames and missing modalities as AuxFormer does.
"""

from functools import partial

import torch
import torch.nn as nn

from auxformer_lobes.models.streams import SCHEMA, StreamNetwork
from auxformer_lobes.nnet.head import Head
from auxformer_lobes.nnet.pooling import pooling_of
from auxformer_lobes.nnet.transformer import TransformerStack


class Baseline(StreamNetwork):
    """What the baselines share: their arguments, and parts of their sizes.

    A subclass declares `heads`, makes its modules in `build`, and scores
    streams in `score`.

    Arguments
    ---------
    audio_dim : int
        Channels of the audio features.
    visual_dim : int
        Channels of the visual features.
    model_dim : int
        Width of the model.
    num_heads : int
        Attention heads; divides `model_dim`.
    num_layers : int
        Layers of each transformer stack.
    num_classes : int
        Number of classes.
    audio_layers : int
        Encoder layers that lie side by side in the audio features, summed with
        learnable weights (see `WeightedLayerSum`).
    visual_layers : int
        Likewise in the visual features.
    audio_stack : int
        Neighbouring frames of the audio features that are stacked into one.
    visual_stack : int
        Likewise of the visual features.
    shortcut : bool
        Whether each head has a linear path from the mean and the standard
        deviation of its features over time (see `StatisticsShortcut`).
    causal : bool
        Whether frames attend only to earlier ones.
    pooling : str
        "last": a stream is summarised by its last valid frame; "attentive":
        by attentive statistics.
    missing : str
        How a missing modality or a lost frame is treated. "mask": no stream
        attends to it. "zero_fill": its frames are zeros.
    embedding_dropout : float
        Dropout of the inputs of the stacks.
    attention_dropout : float
        Dropout of the attention weights.
    relu_dropout : float
        Dropout inside the feed-forward networks.
    residual_dropout : float
        Dropout of each residual branch.
    head_dropout : float
        Dropout inside the heads, and of their shortcuts.
    """

    def __init__(
        self,
        audio_dim,
        visual_dim,
        model_dim=64,
        num_heads=4,
        num_layers=2,
        num_classes=6,
        audio_layers=1,
        visual_layers=1,
        audio_stack=1,
        visual_stack=1,
        shortcut=False,
        causal=False,
        pooling="attentive",
        missing="mask",
        embedding_dropout=0.1,
        attention_dropout=0.0,
        relu_dropout=0.1,
        residual_dropout=0.1,
        head_dropout=0.2,
    ):
        super().__init__(
            {"audio": audio_dim, "visual": visual_dim},
            {"audio": audio_layers, "visual": visual_layers},
            {"audio": True, "visual": True},
            model_dim,
            num_classes,
            missing,
            {"audio": audio_stack, "visual": visual_stack},
            shortcut,
            head_dropout,
        )
        self.build(
            model_dim,
            stack=partial(
                TransformerStack,
                dim=model_dim,
                num_heads=num_heads,
                num_layers=num_layers,
                positions=True,
                causal=causal,
                embedding_dropout=embedding_dropout,
                attention_dropout=attention_dropout,
                relu_dropout=relu_dropout,
                residual_dropout=residual_dropout,
            ),
            pool=partial(pooling_of, pooling, model_dim),
            head=lambda dim: Head(dim, [dim], num_classes, head_dropout),
        )

    def build(self, dim, stack, pool, head):
        """Makes the modules behind the projections.

        Arguments
        ---------
        dim : int
            Width of the streams.
        stack : callable
            Makes a `TransformerStack`, with other arguments where given.
        pool : callable
            Makes a pooling.
        head : callable
            Makes a head, of so many channels.
        """
        raise NotImplementedError

    @property
    def embedding_layer(self):
        """The layer that is given the embedding, `[batch, channels]`."""
        return self.main_head.output


class LateFusion(Baseline):
    """A network for each modality; the mean of their logits is the prediction.

    Each is a transformer stack, a pooling and a head. Arguments are those of
    `Baseline`. The embedding has those of both modalities side by side.

    Example
    -------
    >>> model = LateFusion(audio_dim=120, visual_dim=30)
    >>> logits = model(torch.rand(2, 40, 120), torch.rand(2, 25, 30))
    >>> {head: scores.shape for head, scores in logits.items()}
    {'audio': torch.Size([2, 6]), 'visual': torch.Size([2, 6])}
    """

    heads = {"audio": ("audio",), "visual": ("visual",)}
    schema = SCHEMA

    def build(self, dim, stack, pool, head):
        """Makes the modules, see `Baseline.build`."""
        self.encoders = _encoders(self.modalities, stack, pool)
        self.embedding = nn.Identity()
        self.outputs = nn.ModuleDict({m: head(dim) for m in self.modalities})

    def score(self, streams):
        """Scores each class, see `StreamNetwork.score`."""
        pooled = [self.encoders[m](*streams[m]) for m in self.modalities]
        parts = self.embedding(torch.cat(pooled, 1)).chunk(len(pooled), 1)
        return {
            head: self.outputs[head](x) for head, x in zip(self.heads, parts)
        }

    @property
    def embedding_layer(self):
        """The layer that is given the embedding, `[batch, channels]`."""
        return self.embedding


class AudioOnly(LateFusion):
    """A network that reads the audio only.

    A clip without audio has logits that are finite, and say nothing.

    Example
    -------
    >>> model = AudioOnly(audio_dim=120, visual_dim=30)
    >>> [*model(torch.rand(2, 40, 120), torch.rand(2, 25, 30))]
    ['audio']
    """

    heads = {"audio": ("audio",)}
    schema = SCHEMA


class VisualOnly(LateFusion):
    """A network that reads the visual modality only.

    A clip without it has logits that are finite, and say nothing.

    Example
    -------
    >>> model = VisualOnly(audio_dim=120, visual_dim=30)
    >>> [*model(torch.rand(2, 40, 120), torch.rand(2, 25, 30))]
    ['visual']
    """

    heads = {"visual": ("visual",)}
    schema = SCHEMA


class LateTransformer(Baseline):
    """A transformer over one vector for each modality.

    Each modality has a transformer stack and a pooling, as in `LateFusion`. A
    second transformer attends over three tokens: a class token, whose output
    goes to the head, and the two vectors; a missing one is masked. Arguments
    are those of `Baseline`.

    Example
    -------
    >>> model = LateTransformer(audio_dim=120, visual_dim=30)
    >>> model(torch.rand(2, 40, 120), torch.rand(2, 25, 30))["main"].shape
    torch.Size([2, 6])
    """

    heads = {"main": ("audio", "visual")}
    schema = SCHEMA

    def build(self, dim, stack, pool, head):
        """Makes the modules, see `Baseline.build`."""
        self.encoders = _encoders(self.modalities, stack, pool)
        # The class token, and what tells the modalities apart.
        self.tokens = nn.Parameter(0.02 * torch.randn(3, dim))
        self.fusion = stack(positions=False, causal=False)
        self.main_head = head(dim)

    def score(self, streams):
        """Scores each class, see `StreamNetwork.score`."""
        pooled = [self.encoders[m](*streams[m]) for m in self.modalities]
        has = [_has_frames(*streams[m][1:]) for m in self.modalities]
        tokens = torch.stack([torch.zeros_like(pooled[0]), *pooled], 1)
        mask = torch.stack([torch.ones_like(has[0]), *has], 1)
        x, _ = self.fusion(
            tokens + self.tokens,
            torch.full_like(streams["audio"][1], tokens.shape[1]),
            key_mask=mask,
        )
        return {"main": self.main_head(x[:, 0])}


class EarlyFusion(Baseline):
    """One transformer over the frames of both modalities, aligned in time.

    Their projections are added, frame by frame of the audio: the visual frame
    at the same share of the clip goes with it. Where the audio is missing,
    visual frames stay as they are. A frame that one modality has lost holds
    the other's part; one that both have lost is masked. Arguments are those of
    `Baseline`.

    Example
    -------
    >>> model = EarlyFusion(audio_dim=120, visual_dim=30)
    >>> model(torch.rand(2, 40, 120), torch.rand(2, 25, 30))["main"].shape
    torch.Size([2, 6])
    """

    heads = {"main": ("audio", "visual")}
    schema = SCHEMA

    def build(self, dim, stack, pool, head):
        """Makes the modules, see `Baseline.build`."""
        self.fusion = stack()
        self.pooling = pool()
        self.main_head = head(dim)

    def score(self, streams):
        """Scores each class, see `StreamNetwork.score`."""
        x, frames, mask = _aligned(streams["audio"], streams["visual"])
        x, _ = self.fusion(x, frames, key_mask=mask)
        return {"main": self.main_head(self.pooling(x, frames, mask))}


class MulT(Baseline):
    """MulT: Multimodal Transformer, for two modalities.

    Tsai et al., "Multimodal Transformer for Unaligned Multimodal Language
    Sequences", ACL 2019. A stack of cross-modal attention for each direction,
    a stack of self-attention over each result, and a residual head over both.
    As in the released code, all stacks add positions, and those of
    self-attention have three layers at least. What differs: two modalities,
    not three, so that each attends to one other; masks follow each sample's
    own length, and what is lost or missing is masked; projections have no
    context (1×1 convolutions, as in the released code, while the paper's span
    some frames); dropout and pooling are those of `Baseline`, where the paper
    takes the last frame (``pooling="last"``, with ``causal=True`` in the
    released code). Arguments are those of `Baseline`.

    Example
    -------
    >>> model = MulT(audio_dim=120, visual_dim=30)
    >>> model(torch.rand(2, 40, 120), torch.rand(2, 25, 30))["main"].shape
    torch.Size([2, 6])
    """

    heads = {"main": ("audio", "visual")}
    cross_attention = "audio_from_visual"
    schema = SCHEMA

    def build(self, dim, stack, pool, head):
        """Makes the modules, see `Baseline.build`."""
        self.audio_from_visual = stack()
        self.visual_from_audio = stack()
        layers = max(3, len(self.audio_from_visual.layers))
        self.audio_temporal = stack(num_layers=layers)
        self.visual_temporal = stack(num_layers=layers)
        self.poolings = nn.ModuleList(pool() for _ in self.modalities)
        self.main_head = head(2 * dim)

    def score(self, streams, return_attention=False):
        """Scores each class.

        Arguments
        ---------
        streams : dict of tuple
            What `project_streams` returns.
        return_attention : bool
            Whether to return the attention weights too.

        Returns
        -------
        logits : dict of torch.Tensor
            "main" → `[batch, classes]`.
        attention : dict of torch.Tensor
            Only with `return_attention`, see `AuxFormer.score`.
        """
        wanted = {"return_weights": return_attention}
        seen, pooled = {}, []
        for (name, other), pool in zip(
            (("audio", "visual"), ("visual", "audio")), self.poolings
        ):
            x, frames, mask = streams[name]
            cross, temporal = f"{name}_from_{other}", f"{name}_temporal"
            x, seen[cross] = self.get_submodule(cross)(
                x, frames, *streams[other], **wanted
            )
            x, seen[temporal] = self.get_submodule(temporal)(
                x, frames, key_mask=mask, **wanted
            )
            pooled.append(pool(x, frames, mask))
        logits = {"main": self.main_head(torch.cat(pooled, 1))}
        return (logits, seen) if return_attention else logits


class _Encoder(nn.Module):
    """A stream in one vector: self-attention, then a pooling."""

    def __init__(self, stack, pooling):
        super().__init__()
        self.stack = stack
        self.pooling = pooling

    def forward(self, x, frames, mask):
        """Pools `[batch, time, dim]` to `[batch, dim]`."""
        x, _ = self.stack(x, frames, key_mask=mask)
        return self.pooling(x, frames, mask)


def _encoders(modalities, stack, pool):
    return nn.ModuleDict({m: _Encoder(stack(), pool()) for m in modalities})


def _has_frames(frames, mask):
    """Whether each sample has any frame to attend to, `[batch]`."""
    return frames > 0 if mask is None else mask.any(1)


def _aligned(audio, visual):
    """The sum of both streams on the time of the audio, if there is any."""
    steps = torch.where(_has_frames(*audio[1:]), audio[1], visual[1])
    times = torch.arange(
        max(audio[0].shape[1], visual[0].shape[1]), device=steps.device
    )
    total, known = 0, False
    for x, frames, mask in (audio, visual):
        # The frame at the middle of each step: floor((time + ½) frames / steps).
        index = (2 * times + 1) * frames[:, None]
        index = index // (2 * steps[:, None].clamp(min=1))
        index = index.clamp(max=x.shape[1] - 1)
        # [batch, steps]; what is masked in x is zero.
        total = total + x.gather(
            1, index.unsqueeze(-1).expand(-1, -1, x.shape[2])
        )
        there = (frames > 0)[:, None].expand_as(index)
        known = known | (there if mask is None else mask.gather(1, index))
    return total, steps, known

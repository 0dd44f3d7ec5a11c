"""AuxFormer: audiovisual emotion recognition, robust to a missing modality.

L. Goncalves and C. Busso, "AuxFormer: Robust approach to audiovisual emotion
recognition", ICASSP 2022. A fusion network attends from each modality to the
other; two auxiliary networks, one per modality, share its loss.
"""

from functools import partial

import torch
import torch.nn as nn

from auxformer_lobes.models.published import read_published
from auxformer_lobes.models.streams import SCHEMA, StreamNetwork
from auxformer_lobes.nnet.head import Head
from auxformer_lobes.nnet.pooling import pooling_of
from auxformer_lobes.nnet.transformer import TransformerStack
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import FLAG, SHARE, integer, optional


class AuxFormer(StreamNetwork):
    """The fusion network and the two auxiliary networks.

    Every default is the published value, but for `missing` (see
    `from_published`). A sample's logits do not depend on what it is batched
    and padded with.

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
        Layers of each of the six transformer stacks.
    num_classes : int
        Number of classes.
    audio_layers : int
        Encoder layers that lie side by side in the audio features, summed with
        learnable weights (see `WeightedLayerSum`).
    visual_layers : int
        Likewise in the visual features.
    audio_stack : int
        Neighbouring frames of the audio features that are stacked into one: a
        transformer over fewer frames is faster.
    visual_stack : int
        Likewise of the visual features.
    audio_projection : bool
        Whether the audio features are projected to `model_dim`. By default,
        where their width differs from it.
    visual_projection : bool
        Likewise for the visual features.
    auxiliary_networks : bool
        Whether there are auxiliary networks, with their heads and losses. The
        published network has them; without, "main" is the only head.
    shared_auxiliary_head : bool
        Whether both auxiliary networks end in one head, as in the released
        code, or in one each, as in the figure of the paper.
    causal : bool
        Whether frames attend only to earlier ones.
    pooling : str
        "last": a stream is summarised by its last valid frame; "attentive":
        by attentive statistics.
    auxiliary_passes : int
        How often each auxiliary stack is applied in a row.
    shortcut : bool
        Whether each head has a linear path from the mean and the standard
        deviation of its features over time (see `StatisticsShortcut`).
    missing : str
        How a missing modality or a lost frame is treated. "mask": no stream
        attends to it. "zero_fill": its frames are zeros, as published.
    embedding_dropout : float
        Dropout of the inputs of the stacks.
    attention_dropout : float
        Dropout of the weights of self-attention.
    cross_attention_dropout : float
        Dropout of the weights of cross-modal attention.
    relu_dropout : float
        Dropout inside the feed-forward networks.
    residual_dropout : float
        Dropout of each residual branch.
    head_dropout : float
        Dropout inside the heads, and of their shortcuts.

    Example
    -------
    >>> model = AuxFormer(audio_dim=120, visual_dim=30, num_layers=2)
    >>> audio, visual = torch.rand(2, 40, 120), torch.rand(2, 25, 30)
    >>> logits = model(audio, visual, audio_lens=torch.tensor([1.0, 0.5]))
    >>> logits["main"].shape
    torch.Size([2, 6])
    """

    heads = {
        "main": ("audio", "visual"),
        "audio": ("audio",),
        "visual": ("visual",),
    }
    cross_attention = "audio_from_visual"
    schema = {
        **SCHEMA,
        "audio_projection": optional(FLAG),
        "visual_projection": optional(FLAG),
        "auxiliary_networks": FLAG,
        "shared_auxiliary_head": FLAG,
        "auxiliary_passes": integer(0, 100),
        "cross_attention_dropout": SHARE,
    }

    def __init__(
        self,
        audio_dim,
        visual_dim,
        model_dim=50,
        num_heads=10,
        num_layers=5,
        num_classes=6,
        audio_layers=1,
        visual_layers=1,
        audio_stack=1,
        visual_stack=1,
        audio_projection=None,
        visual_projection=None,
        auxiliary_networks=True,
        shared_auxiliary_head=True,
        causal=True,
        pooling="last",
        auxiliary_passes=3,
        shortcut=False,
        missing="mask",
        embedding_dropout=0.25,
        attention_dropout=0.1,
        cross_attention_dropout=0.0,
        relu_dropout=0.1,
        residual_dropout=0.1,
        head_dropout=0.2,
    ):
        if not auxiliary_networks:
            self.heads = {"main": self.heads["main"]}
        super().__init__(
            {"audio": audio_dim, "visual": visual_dim},
            {"audio": audio_layers, "visual": visual_layers},
            {"audio": audio_projection, "visual": visual_projection},
            model_dim,
            num_classes,
            missing,
            {"audio": audio_stack, "visual": visual_stack},
            shortcut,
            head_dropout,
        )
        self.auxiliary_passes = auxiliary_passes

        stack = partial(
            TransformerStack,
            model_dim,
            num_heads,
            num_layers,
            causal=causal,
            embedding_dropout=embedding_dropout,
            relu_dropout=relu_dropout,
            residual_dropout=residual_dropout,
        )
        cross_stack = partial(
            stack, positions=True, attention_dropout=cross_attention_dropout
        )
        self_stack = partial(stack, attention_dropout=attention_dropout)
        self.audio_from_visual = cross_stack()
        self.visual_from_audio = cross_stack()
        self.audio_temporal = self_stack(learned_scaling=True)
        self.visual_temporal = self_stack(learned_scaling=True)
        if auxiliary_networks:
            self.audio_auxiliary = self_stack()
            self.visual_auxiliary = self_stack()

        # Main audio, main visual, auxiliary audio, auxiliary visual.
        self.poolings = nn.ModuleList(
            pooling_of(pooling, model_dim)
            for _ in range(4 if auxiliary_networks else 2)
        )
        self.main_head = Head(
            2 * model_dim, [2 * model_dim], num_classes, head_dropout
        )
        if auxiliary_networks:
            self.auxiliary_heads = nn.ModuleList(
                Head(model_dim, [512, 256], num_classes, head_dropout)
                for _ in range(1 if shared_auxiliary_head else 2)
            )

    @classmethod
    def from_published(cls, source, num_heads=10, **options):
        """Builds the network of a published checkpoint, either variant.

        Dimensions, layers and classes are read off the checkpoint. A missing
        modality is masked; the published network was given zeros for it, as
        with ``missing="zero_fill"``.

        Arguments
        ---------
        source : str, Path or dict
            The published `final_head.pt`, or its state dict. A file is read
            with `weights_only=True`: it cannot run code.
        num_heads : int
            The number of heads, which leaves no trace in a checkpoint.
        **options
            Further arguments of `AuxFormer`, dropouts for example.

        Returns
        -------
        AuxFormer
            The network, in evaluation mode.

        Raises
        ------
        UserError
            If the source is not such a checkpoint.
        """
        arguments, weights = read_published(source)
        model = cls(num_heads=num_heads, **arguments, **options)
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise UserError(f"not a published AuxFormer head: {reason}")
        return model.eval()

    @property
    def embedding_layer(self):
        """The layer that is given the fused embedding, `[batch, 2 * dim]`."""
        return self.main_head.output

    def score(self, streams, return_attention=False):
        """Scores each class.

        Arguments
        ---------
        streams : dict of tuple
            What `project_streams` returns.
        return_attention : bool
            Whether to return the attention weights too, which otherwise are
            not materialised.

        Returns
        -------
        logits : dict of torch.Tensor
            "main" and, with auxiliary networks, "audio" and "visual" →
            `[batch, classes]`.
        attention : dict of torch.Tensor
            Only with `return_attention`. For each stack, by name, the
            weights `[layers, batch, heads, queries, keys]`; the name of an
            auxiliary one ends in the number of the pass.
        """
        audio, audio_frames, audio_mask = streams["audio"]
        visual, visual_frames, visual_mask = streams["visual"]

        wanted = {"return_weights": return_attention}
        seen = {}
        audio_main, seen["audio_from_visual"] = self.audio_from_visual(
            audio, audio_frames, visual, visual_frames, visual_mask, **wanted
        )
        audio_main, seen["audio_temporal"] = self.audio_temporal(
            audio_main, audio_frames, key_mask=audio_mask, **wanted
        )
        visual_main, seen["visual_from_audio"] = self.visual_from_audio(
            visual, visual_frames, audio, audio_frames, audio_mask, **wanted
        )
        visual_main, seen["visual_temporal"] = self.visual_temporal(
            visual_main, visual_frames, key_mask=visual_mask, **wanted
        )
        auxiliary = "audio" in self.heads
        for i in range(self.auxiliary_passes if auxiliary else 0):
            audio, seen[f"audio_auxiliary_{i}"] = self.audio_auxiliary(
                audio, audio_frames, key_mask=audio_mask, **wanted
            )
            visual, seen[f"visual_auxiliary_{i}"] = self.visual_auxiliary(
                visual, visual_frames, key_mask=visual_mask, **wanted
            )

        # Without auxiliary networks, there are two poolings only.
        audio_main, visual_main, *pooled = (
            pool(x, frames, mask)
            for pool, x, frames, mask in zip(
                self.poolings,
                (audio_main, visual_main, audio, visual),
                (audio_frames, visual_frames) * 2,
                (audio_mask, visual_mask) * 2,
            )
        )
        logits = {
            "main": self.main_head(torch.cat([audio_main, visual_main], 1)),
        }
        if auxiliary:
            audio, visual = pooled
            logits["audio"] = self.auxiliary_heads[0](audio)
            logits["visual"] = self.auxiliary_heads[-1](visual)
        return (logits, seen) if return_attention else logits

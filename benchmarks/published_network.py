"""A plain port of the published AuxFormer, to compare the speed of ours with.

Written from the published computation, in its own order: time first, three
projections of query, key and value, attention weights materialised. Its state
dict has the published names, so that `AuxFormer.from_published` reads it.
Masks are made once a stack, where the published code makes one a layer.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class PublishedAttention(nn.Module):
    """Multi-head attention over `[time, batch, dim]`."""

    def __init__(self, dim, num_heads, dropout):
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, query, key, value, mask):
        """Attends from each query to the keys that the mask leaves."""
        query, key, value = (
            F.linear(x, weight, bias)
            .reshape(len(x), -1, x.shape[2] // self.num_heads)
            .transpose(0, 1)
            for x, weight, bias in zip(
                (query, key, value),
                self.in_proj_weight.chunk(3),
                self.in_proj_bias.chunk(3),
            )
        )
        # [batch * heads, time, dim / heads]
        query = query / math.sqrt(query.shape[-1])
        weights = (query @ key.transpose(1, 2) + mask).softmax(-1)
        weights = F.dropout(weights, self.dropout, self.training)
        x = (weights @ value).transpose(0, 1)
        return self.out_proj(x.reshape(len(x), -1, self.out_proj.in_features))


class PublishedLayer(nn.Module):
    """Pre-norm attention and feed-forward network."""

    def __init__(self, dim, num_heads, attention_dropout, scaled):
        super().__init__()
        self.self_attn = PublishedAttention(dim, num_heads, attention_dropout)
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)
        self.layer_norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2))
        self.alpha = nn.Parameter(torch.rand(1)) if scaled else None

    def forward(self, x, key, value, mask):
        """Transforms `x`, `[time, batch, dim]`."""
        keep, add = 1.0, 1.0
        if self.alpha is not None:
            keep, add = self.alpha, 1 - self.alpha
        residual, norm = x, self.layer_norms[0]
        x = norm(x)
        key, value = (x, x) if key is None else (norm(key), norm(value))
        x = self.self_attn(x, key, value, mask)
        x = keep * residual + add * F.dropout(x, 0.1, self.training)
        residual = x
        x = F.relu(self.fc1(self.layer_norms[1](x)))
        x = self.fc2(F.dropout(x, 0.1, self.training))
        return keep * residual + add * F.dropout(x, 0.1, self.training)


class PublishedStack(nn.Module):
    """Five layers, for self-attention or across modalities."""

    def __init__(
        self, dim, num_heads, num_layers, dropout=0.1, positions=False, **layer
    ):
        super().__init__()
        self.positions = positions
        self.layers = nn.ModuleList(
            PublishedLayer(
                dim, num_heads, dropout, **{"scaled": False, **layer}
            )
            for _ in range(num_layers)
        )
        self.layer_norm = nn.LayerNorm(dim)

    def embed(self, x):
        """Scales, adds positions, drops out."""
        frames, _, dim = x.shape
        embedded = x * math.sqrt(dim)
        if self.positions:
            half = dim // 2
            rates = torch.exp(
                torch.arange(half, device=x.device)
                * -(math.log(10000) / (half - 1))
            )
            angles = torch.arange(1, frames + 1, device=x.device).outer(rates)
            table = torch.cat([angles.sin(), angles.cos()], 1).unsqueeze(1)
            embedded = embedded + table * (x[..., :1] != 0)
        return F.dropout(embedded, 0.25, self.training)

    def forward(self, x, other=None):
        """Transforms `x`, which attends to itself or to the other modality."""
        num_keys = len(x if other is None else other)
        mask = x.new_full((len(x), num_keys), -math.inf)
        mask = mask.triu(1 + abs(len(x) - num_keys))
        key = value = None
        if other is not None:
            key, value = self.embed(other), self.embed(other)
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x, key, value, mask)
        return self.layer_norm(x)


class PublishedAuxFormer(nn.Module):
    """The published network, both variants.

    Arguments
    ---------
    audio_dim : int
        Channels of the audio features; projected where they are not `dim`.
    visual_dim : int
        Channels of the visual features; likewise.
    dim : int
        Width of the model.
    num_heads : int
        Attention heads.
    num_layers : int
        Layers a stack.
    num_classes : int
        Number of classes.
    """

    def __init__(
        self,
        audio_dim=1024,
        visual_dim=50,
        dim=50,
        num_heads=10,
        num_layers=5,
        num_classes=6,
    ):
        super().__init__()
        if audio_dim != dim:
            self.conv_1d_a = nn.Conv1d(audio_dim, dim, 1, bias=False)
        if visual_dim != dim:
            self.conv_1d_v = nn.Conv1d(visual_dim, dim, 1, bias=False)
        sizes = dim, num_heads, num_layers
        self.a_mem, self.v_mem = PublishedStack(*sizes), PublishedStack(*sizes)
        self.trans_a_mem = PublishedStack(*sizes, scaled=True)
        self.trans_v_mem = PublishedStack(*sizes, scaled=True)
        self.trans_v_with_a = PublishedStack(*sizes, 0.0, True)
        self.trans_a_with_v = PublishedStack(*sizes, 0.0, True)
        self.proj_aux1 = nn.Linear(dim, 512)
        self.proj_aux2 = nn.Linear(512, 256)
        self.proj_aux3 = nn.Linear(256, dim)
        self.out_layer_aux = nn.Linear(dim, num_classes)
        self.proj1 = nn.Linear(2 * dim, 2 * dim)
        self.proj2 = nn.Linear(2 * dim, 2 * dim)
        self.out_layer = nn.Linear(2 * dim, num_classes)

    def forward(self, audio, visual):
        """Scores each class.

        Arguments
        ---------
        audio : torch.Tensor
            `[batch, time, audio_dim]`.
        visual : torch.Tensor
            `[batch, time, visual_dim]`.

        Returns
        -------
        dict of torch.Tensor
            "main", "audio" and "visual" → `[batch, classes]`.
        """
        audio = self._project("conv_1d_a", audio)
        visual = self._project("conv_1d_v", visual)
        main_audio = self.trans_a_mem(self.trans_a_with_v(audio, visual))
        main_visual = self.trans_v_mem(self.trans_v_with_a(visual, audio))
        for _ in range(3):
            audio, visual = self.a_mem(audio), self.v_mem(visual)
        main = torch.cat([main_audio[-1], main_visual[-1]], 1)
        x = self._drop(F.relu(self.proj1(main)))
        return {
            "main": self.out_layer(main + self.proj2(x)),
            "audio": self._auxiliary(audio[-1]),
            "visual": self._auxiliary(visual[-1]),
        }

    def _project(self, name, x):
        x = x.transpose(1, 2)
        if hasattr(self, name):
            x = self.get_submodule(name)(x)
        return x.permute(2, 0, 1)

    def _auxiliary(self, x):
        hidden = self._drop(F.relu(self.proj_aux1(x)))
        hidden = self._drop(F.relu(self.proj_aux2(hidden)))
        return self.out_layer_aux(x + self.proj_aux3(hidden))

    def _drop(self, x):
        return F.dropout(x, 0.2, self.training)

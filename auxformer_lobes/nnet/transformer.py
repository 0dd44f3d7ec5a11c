"""The masked pre-norm transformer of which every stream of AuxFormer is made.

It is the transformer of Tsai et al., "Multimodal Transformer for Unaligned
Multimodal Language Sequences", ACL 2019, as L. Goncalves and C. Busso use it
in AuxFormer (ICASSP 2022), with masks that follow each sample's own length.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from auxformer_lobes.nnet.attention import AttentionMask, MultiheadAttention
from auxformer_lobes.nnet.dropout import Dropout


def sinusoidal_positions(num_frames, dim, device=None):
    """Sinusoids of frames 1, 2, …: first half sine, second half cosine.

    Arguments
    ---------
    num_frames : int
        Number of frames.
    dim : int
        Number of channels. The last one of an odd number is zero.
    device : torch.device
        Where to make them.

    Returns
    -------
    torch.Tensor
        Positions, `[num_frames, dim]`.

    Example
    -------
    >>> sinusoidal_positions(1, 4)
    tensor([[8.4147e-01, 1.0000e-04, 5.4030e-01, 1.0000e+00]])
    """
    half = dim // 2
    step = math.log(10000) / max(half - 1, 1)
    rates = torch.exp(torch.arange(half, device=device) * -step)
    frames = torch.arange(1, num_frames + 1, device=device)
    angles = frames.unsqueeze(1) * rates
    # [num_frames, half]
    return F.pad(torch.cat([angles.sin(), angles.cos()], 1), (0, dim % 2))


class FrameNorm(nn.LayerNorm):
    """Layer normalisation without a gradient where all channels are equal.

    A modality that was zeroed out stays zero from layer to layer. There each
    normalisation multiplies the gradient by up to 1 / √eps = 316, so that the
    gradient of a deep network would overflow. Outputs are those of
    `torch.nn.LayerNorm`.

    Arguments
    ---------
    *args
        Arguments of `torch.nn.LayerNorm`.
    **options
        Further ones.

    Example
    -------
    >>> x = torch.tensor([[0.0, 0.0], [1.0, 3.0]], requires_grad=True)
    >>> FrameNorm(2)(x)[:, 0].sum().backward()
    >>> (x.grad != 0).any(1)
    tensor([False,  True])
    """

    def forward(self, x):
        """Normalises each frame.

        Arguments
        ---------
        x : torch.Tensor
            `[batch, time, dim]`.

        Returns
        -------
        torch.Tensor
            `[batch, time, dim]`.
        """
        x = x.to(self.weight.dtype)
        if not torch.is_grad_enabled():
            return super().forward(x)
        return _FrameNorm.apply(x, self.weight, self.bias, self.eps)


class _FrameNorm(Function):
    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        """Normalises each frame, `[batch, time, dim]`."""
        y, mean, rate = torch.native_layer_norm(
            x, weight.shape, weight, bias, eps
        )
        ctx.save_for_backward(x, weight, bias, mean, rate)
        # The rate is 1 / √(variance + eps): the variance is eps, or more.
        ctx.limit = (2 * eps) ** -0.5
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        """Gradients of a layer normalisation, where frames vary."""
        x, weight, bias, mean, rate = ctx.saved_tensors
        d_x, d_weight, d_bias = torch.ops.aten.native_layer_norm_backward(
            gradient, x, weight.shape, mean, rate, weight, bias, [True] * 3
        )
        varies = (rate <= ctx.limit).to(d_x)
        return d_x * varies, d_weight, d_bias, None


class TransformerLayer(nn.Module):
    """One pre-norm layer: attention, then a feed-forward network.

    Arguments
    ---------
    dim : int
        Number of channels.
    num_heads : int
        Number of attention heads.
    learned_scaling : bool
        Whether a learned scalar α weighs the residual path, and 1 - α the
        branches, instead of 1 and 1.
    attention_dropout : float
        Dropout of the attention weights.
    relu_dropout : float
        Dropout inside the feed-forward network.
    residual_dropout : float
        Dropout of each branch.

    Example
    -------
    >>> layer = TransformerLayer(dim=20, num_heads=2, learned_scaling=True)
    >>> x, frames = torch.rand(3, 7, 20), torch.tensor([7, 7, 2])
    >>> mask = AttentionMask(frames, frames, 7, 7, causal=False)
    >>> layer(x, None, None, mask)[0].shape
    torch.Size([3, 7, 20])
    """

    def __init__(
        self,
        dim,
        num_heads,
        learned_scaling=False,
        attention_dropout=0.1,
        relu_dropout=0.1,
        residual_dropout=0.1,
    ):
        super().__init__()
        self.attention = MultiheadAttention(dim, num_heads, attention_dropout)
        self.attention_norm = FrameNorm(dim)
        self.feed_forward = nn.Sequential(
            nn.Linear(dim, 4 * dim),
            nn.ReLU(inplace=True),
            Dropout(relu_dropout),
            nn.Linear(4 * dim, dim),
        )
        self.feed_forward_norm = FrameNorm(dim)
        self.dropout = Dropout(residual_dropout)
        self.alpha = nn.Parameter(torch.rand(1)) if learned_scaling else None

    def forward(self, x, key, value, mask, return_weights=False):
        """Transforms `x` by what it sees in the keys.

        Arguments
        ---------
        x : torch.Tensor
            `[batch, num_queries, dim]`.
        key : torch.Tensor or None
            `[batch, num_keys, dim]`; None is self-attention.
        value : torch.Tensor or None
            Likewise.
        mask : AttentionMask
            Which keys are seen; a query that may see none is changed by the
            feed-forward network only.
        return_weights : bool
            Whether to return the attention weights.

        Returns
        -------
        x : torch.Tensor
            `[batch, num_queries, dim]`.
        weights : torch.Tensor or None
            `[batch, heads, num_queries, num_keys]`.
        """
        query = self.attention_norm(x)
        if key is None:
            key = value = query
        else:
            same = value is key
            key = self.attention_norm(key)
            value = key if same else self.attention_norm(value)
        y, weights = self.attention(query, key, value, mask, return_weights)
        x = self._add(x, mask.gate(self.dropout(y)))
        y = self.feed_forward(self.feed_forward_norm(x))
        return self._add(x, self.dropout(y)), weights

    def _add(self, x, y):
        if self.alpha is None:
            return x + y
        # α x + (1 - α) y; y may have the precision of autocast.
        return torch.lerp(y.to(x.dtype), x, self.alpha)


class TransformerStack(nn.Module):
    """A stack of pre-norm layers, for self-attention or across modalities.

    Arguments
    ---------
    dim : int
        Number of channels.
    num_heads : int
        Number of attention heads.
    num_layers : int
        Number of layers.
    positions : bool
        Whether sinusoidal positions are added. A frame whose first channel
        is exactly zero has none: a modality that was zeroed out stays zero.
    causal : bool
        Whether query i sees only keys `j <= i + |T_q - T_k|`.
    embedding_dropout : float
        Dropout of the inputs.
    **layer_options
        Further arguments of `TransformerLayer`.

    Example
    -------
    >>> stack = TransformerStack(
    ...     dim=20, num_heads=2, num_layers=2, positions=True
    ... )
    >>> audio, visual = torch.rand(3, 9, 20), torch.rand(3, 4, 20)
    >>> audio_frames, visual_frames = torch.tensor([[9, 5, 2], [4, 4, 0]])
    >>> x, _ = stack(audio, audio_frames, visual, visual_frames)
    >>> x.shape
    torch.Size([3, 9, 20])
    """

    def __init__(
        self,
        dim,
        num_heads,
        num_layers,
        positions=False,
        causal=True,
        embedding_dropout=0.25,
        **layer_options,
    ):
        super().__init__()
        self.positions = positions
        self.causal = causal
        self.dropout = Dropout(embedding_dropout)
        self.layers = nn.ModuleList(
            TransformerLayer(dim, num_heads, **layer_options)
            for _ in range(num_layers)
        )
        self.norm = FrameNorm(dim)
        for name, parameter in self.layers.named_parameters():
            if parameter.dim() == 2:
                nn.init.xavier_uniform_(parameter)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def embed(self, x):
        """Scales the input, and adds positions to it.

        Arguments
        ---------
        x : torch.Tensor
            `[batch, time, dim]`.

        Returns
        -------
        torch.Tensor
            `[batch, time, dim]`.
        """
        # What layers add to has full precision, with autocast too.
        x = x.to(self.norm.weight.dtype)
        embedded = x * math.sqrt(x.shape[-1])
        if self.positions:
            positions = sinusoidal_positions(*x.shape[1:], device=x.device)
            embedded = embedded + positions * (x[..., :1] != 0)
        return embedded

    def forward(
        self,
        x,
        frames,
        other=None,
        other_frames=None,
        key_mask=None,
        return_weights=False,
    ):
        """Transforms `x`, attending to itself or to another modality.

        Arguments
        ---------
        x : torch.Tensor
            `[batch, time, dim]`.
        frames : torch.Tensor
            Valid frames of each sample of `x`, `[batch]`.
        other : torch.Tensor
            The other modality, `[batch, other_time, dim]`; the same for all
            layers. Without it, `x` attends to itself.
        other_frames : torch.Tensor
            Valid frames of each sample of `other`, `[batch]`.
        key_mask : torch.Tensor
            Frames looked at (of `other`, or else of `x`) that were not lost,
            boolean `[batch, time]`; all by default.
        return_weights : bool
            Whether to return the attention weights.

        Returns
        -------
        x : torch.Tensor
            `[batch, time, dim]`; undefined, but finite, in the padding.
        weights : torch.Tensor or None
            `[layers, batch, heads, time, other_time]`.
        """
        key, value, num_keys = None, None, x.shape[1]
        if other is None:
            other_frames = frames
        else:
            num_keys = other.shape[1]
            key = value = self.embed(other)
            if self.training and self.dropout.p:
                # It is drawn for each of the two.
                key, value = self.dropout(key), self.dropout(value)
        mask = AttentionMask(
            frames, other_frames, x.shape[1], num_keys, self.causal, key_mask
        )
        x = self.dropout(self.embed(x))
        weights = []
        for layer in self.layers:
            x, seen = layer(x, key, value, mask, return_weights)
            weights.append(seen)
        x = self.norm(x)
        if return_weights:
            return x, torch.stack(weights) * mask.has_key.unsqueeze(1)
        return x, None

"""The masked pre-norm transformer of which every stream of AuxFormer is made.

It is the transformer of Tsai et al., "Multimodal Transformer for Unaligned
Multimodal Language Sequences", ACL 2019, as L. Goncalves and C. Busso use it
in AuxFormer (ICASSP 2022), with masks that follow each sample's own length.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F


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


def attention_mask(
    query_frames, key_frames, num_queries, num_keys, causal, key_mask=None
):
    """Which key each query may see, by the lengths of each sample.

    A query that may see no key is shown the first one, since a softmax over no
    key is NaN; where `has_key` is False, its result is discarded.

    Arguments
    ---------
    query_frames : torch.Tensor
        Valid frames of each sample's query, `[batch]`.
    key_frames : torch.Tensor
        Valid frames of each sample's key, `[batch]`.
    num_queries : int
        Padded length of the queries.
    num_keys : int
        Padded length of the keys.
    causal : bool
        Whether query i sees only keys j <= i + |T_q - T_k|.
    key_mask : torch.Tensor
        Keys that were not lost, boolean `[batch, num_keys]`; all by default.

    Returns
    -------
    mask : torch.Tensor
        True where the key is seen, `[batch, 1, num_queries, num_keys]`.
    has_key : torch.Tensor
        Whether a query may see a key, `[batch, num_queries or 1, 1]`.

    Example
    -------
    >>> frames = torch.tensor([2]), torch.tensor([3])
    >>> attention_mask(*frames, 2, 4, causal=True)[0].int()
    tensor([[[[1, 1, 0, 0],
              [1, 1, 1, 0]]]], dtype=torch.int32)
    """
    keys = torch.arange(num_keys, device=key_frames.device)
    visible = keys < key_frames[:, None, None, None]
    if key_mask is not None:
        visible = visible & key_mask[:, None, None]
    if causal:
        queries = torch.arange(num_queries, device=key_frames.device)
        offset = (query_frames - key_frames).abs()
        # [batch, 1, num_queries, 1]
        last = queries[:, None] + offset[:, None, None, None]
        visible = visible & (keys <= last)
    has_key = visible.any(-1, keepdim=True)
    visible = visible | (~has_key & (keys == 0))
    return visible.expand(-1, -1, num_queries, -1), has_key.squeeze(1)


class MultiheadAttention(nn.Module):
    """Multi-head attention through torch's scaled-dot-product attention.

    Arguments
    ---------
    dim : int
        Number of channels.
    num_heads : int
        Number of heads; divides `dim`.
    dropout : float
        Dropout of the attention weights.

    Example
    -------
    >>> attention = MultiheadAttention(dim=20, num_heads=2)
    >>> x = torch.rand(3, 7, 20)
    >>> mask = torch.ones(3, 1, 7, 7, dtype=torch.bool)
    >>> output, weights = attention(x, x, x, mask, return_weights=True)
    >>> output.shape, weights.shape
    (torch.Size([3, 7, 20]), torch.Size([3, 2, 7, 7]))
    """

    def __init__(self, dim, num_heads, dropout=0.0):
        super().__init__()
        if dim % num_heads:
            raise ValueError(
                f"model_dim {dim} is not a multiple of num_heads {num_heads}"
            )
        self.num_heads = num_heads
        self.dropout = dropout
        self.in_proj = nn.Linear(dim, 3 * dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, query, key, value, mask, return_weights=False):
        """Attends from each query to the keys that its mask shows.

        Arguments
        ---------
        query : torch.Tensor
            `[batch, num_queries, dim]`.
        key : torch.Tensor
            `[batch, num_keys, dim]`.
        value : torch.Tensor
            `[batch, num_keys, dim]`.
        mask : torch.Tensor
            True where a key is seen, `[batch, 1, num_queries, num_keys]`.
        return_weights : bool
            Whether to return the attention weights, which are not even
            computed otherwise.

        Returns
        -------
        output : torch.Tensor
            `[batch, num_queries, dim]`.
        weights : torch.Tensor or None
            `[batch, heads, num_queries, num_keys]`.
        """
        query, key, value = (
            F.linear(x, weight, bias).unflatten(-1, (self.num_heads, -1))
            for x, weight, bias in zip(
                (query, key, value),
                self.in_proj.weight.chunk(3),
                self.in_proj.bias.chunk(3),
            )
        )
        query, key, value = (x.transpose(1, 2) for x in (query, key, value))
        # [batch, heads, time, dim / heads]

        dropout = self.dropout if self.training else 0.0
        weights = None
        if return_weights:
            scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])
            weights = scores.masked_fill(~mask, -math.inf).softmax(-1)
            output = F.dropout(weights, dropout) @ value
        else:
            output = F.scaled_dot_product_attention(
                query, key, value, attn_mask=mask, dropout_p=dropout
            )
        return self.out_proj(output.transpose(1, 2).flatten(2)), weights


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
        if torch.is_grad_enabled():
            spread = x.detach().var(-1, correction=0, keepdim=True)
            x = torch.where(spread < self.eps, x.detach(), x)
        return super().forward(x)


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
    >>> x, mask = torch.rand(3, 7, 20), torch.ones(3, 1, 7, 7).bool()
    >>> has_key = torch.ones(3, 1, 1).bool()
    >>> layer(x, None, None, mask, has_key)[0].shape
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
            nn.ReLU(),
            nn.Dropout(relu_dropout),
            nn.Linear(4 * dim, dim),
        )
        self.feed_forward_norm = FrameNorm(dim)
        self.dropout = nn.Dropout(residual_dropout)
        self.alpha = nn.Parameter(torch.rand(1)) if learned_scaling else None

    def forward(self, x, key, value, mask, has_key, return_weights=False):
        """Transforms `x` by what it sees in the keys.

        Arguments
        ---------
        x : torch.Tensor
            `[batch, num_queries, dim]`.
        key : torch.Tensor or None
            `[batch, num_keys, dim]`; None is self-attention.
        value : torch.Tensor or None
            Likewise.
        mask : torch.Tensor
            True where a key is seen, `[batch, 1, num_queries, num_keys]`.
        has_key : torch.Tensor
            Whether a query may see a key, `[batch, num_queries or 1, 1]`;
            without, only the feed-forward network changes it.
        return_weights : bool
            Whether to return the attention weights.

        Returns
        -------
        x : torch.Tensor
            `[batch, num_queries, dim]`.
        weights : torch.Tensor or None
            `[batch, heads, num_queries, num_keys]`.
        """
        residual, branch = 1.0, 1.0
        if self.alpha is not None:
            residual, branch = self.alpha, 1.0 - self.alpha

        query = self.attention_norm(x)
        if key is None:
            key = value = query
        else:
            key, value = self.attention_norm(key), self.attention_norm(value)
        y, weights = self.attention(query, key, value, mask, return_weights)
        x = residual * x + branch * has_key * self.dropout(y)

        y = self.feed_forward(self.feed_forward_norm(x))
        return residual * x + branch * self.dropout(y), weights


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
        Whether query i sees only keys j <= i + |T_q - T_k|.
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
        self.dropout = nn.Dropout(embedding_dropout)
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
        """Scales the input, adds positions to it, drops some of it out.

        Arguments
        ---------
        x : torch.Tensor
            `[batch, time, dim]`.

        Returns
        -------
        torch.Tensor
            `[batch, time, dim]`.
        """
        embedded = x * math.sqrt(x.shape[-1])
        if self.positions:
            positions = sinusoidal_positions(*x.shape[1:], device=x.device)
            embedded = embedded + positions * (x[..., :1] != 0)
        return self.dropout(embedded)

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
            # Dropout is drawn for each of the two.
            key, value = self.embed(other), self.embed(other)
        mask, has_key = attention_mask(
            frames, other_frames, x.shape[1], num_keys, self.causal, key_mask
        )
        x = self.embed(x)
        weights = []
        for layer in self.layers:
            x, seen = layer(x, key, value, mask, has_key, return_weights)
            weights.append(seen)
        x = self.norm(x)
        if return_weights:
            return x, torch.stack(weights) * has_key.unsqueeze(1)
        return x, None

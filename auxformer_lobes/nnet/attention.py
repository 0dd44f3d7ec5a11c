"""Multi-head attention with masks that follow each sample's own length."""

import math
from functools import cached_property

import torch
import torch.nn as nn
import torch.nn.functional as F

from auxformer_lobes.nnet.cpu_attention import cpu_attention
from auxformer_lobes.nnet.dropout import KeptElements, is_eager_cpu

# Channels of a head are padded to a multiple: without, the fused kernels of a
# GPU refuse the 5 channels of the published network.
HEAD_MULTIPLE = {"cuda": 8}
# Fewer take torch's attention less time than `cpu_attention` takes to begin.
MANY_WEIGHTS = 10**6
# Channels with which torch's attention on a CPU is at its best, as measured.
WIDE_HEAD = 8


class AttentionMask:
    """Which key each query may see, by the lengths of each sample.

    A query that may see no key is shown the first one, since a softmax over no
    key is NaN; where `has_key` is False, its result is discarded. One mask
    serves all layers of a stack.

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
        Whether query i sees only keys `j <= i + |T_q - T_k|`.
    key_mask : torch.Tensor
        Keys that were not lost, boolean `[batch, num_keys]`; all by default.

    Attributes
    ----------
    visible : torch.Tensor
        True where the key is seen, `[batch, 1, num_queries, num_keys]`.
    has_key : torch.Tensor
        Whether a query may see a key, `[batch, num_queries or 1, 1]`.
    is_causal : bool
        Whether it hides no more than later frames from valid ones.

    Example
    -------
    >>> frames = torch.tensor([2]), torch.tensor([3])
    >>> mask = AttentionMask(*frames, 2, 4, causal=True)
    >>> mask.visible[0].int()
    tensor([[[1, 1, 0, 0],
             [1, 1, 1, 0]]], dtype=torch.int32)
    >>> mask.stops
    array([[2, 3]], dtype=int32)
    """

    def __init__(
        self,
        query_frames,
        key_frames,
        num_queries,
        num_keys,
        causal,
        key_mask=None,
    ):
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
        self.query_frames = query_frames
        # Of a sample's own frames, those after it include the padding.
        self.is_causal = (
            causal and key_mask is None and query_frames is key_frames
        )
        self.visible = visible.expand(-1, -1, num_queries, -1)
        self.has_key = has_key.squeeze(1)
        self._gate = self.has_key.float()
        # A GPU would have to be waited for.
        if is_eager_cpu(has_key) and has_key.all():
            self._gate = None
        self._bias = None

    def bias(self, dtype):
        """Added to scores: 0 where the key is seen, else -inf.

        Arguments
        ---------
        dtype : torch.dtype
            That of the scores.

        Returns
        -------
        torch.Tensor
            `[batch, 1, num_queries, num_keys]`.
        """
        # Made once, but torch.compile does not know `cached_property`.
        if self._bias is None or self._bias.dtype != dtype:
            # Rows begin at multiples of 8, or fused kernels would copy them.
            num_keys = self.visible.shape[-1]
            hidden = F.pad(~self.visible, (0, -num_keys % 8))
            bias = torch.zeros_like(hidden, dtype=dtype)
            bias = bias.masked_fill(hidden, -math.inf)
            self._bias = bias[..., :num_keys]
        return self._bias

    @cached_property
    def seen(self):
        """1.0 where the key is seen, else 0.0, with the keys first, `[batch,
        1, num_keys, num_queries]`; None where nothing is hidden."""
        if self.visible.all():
            return None
        seen = self.visible.mT.contiguous()
        # Its `stops` is 0, so that no more than the first key may be computed.
        seen[:, 0, 0] |= self._is_padding
        return seen.float()

    @property
    def _is_padding(self):
        queries = torch.arange(self.visible.shape[2])
        return queries >= self.query_frames[:, None]

    @cached_property
    def stops(self):
        """One past the last key that each query sees, `[batch, num_queries]`,
        0 where the query is padding: a NumPy array."""
        num_keys = self.visible.shape[-1]
        places = torch.arange(1, num_keys + 1, dtype=torch.int32)
        stops = (self.visible[:, 0] * places).amax(-1)
        return stops.masked_fill(self._is_padding, 0).numpy()

    def gate(self, x):
        """Discards the results of queries that may see no key.

        Arguments
        ---------
        x : torch.Tensor
            `[batch, num_queries, dim]`.

        Returns
        -------
        torch.Tensor
            The same, 0 where there is no key.
        """
        return x if self._gate is None else x * self._gate


class MultiheadAttention(nn.Module):
    """Multi-head attention with weights that are not materialised.

    It runs through torch's scaled-dot-product attention, or, on a CPU, through
    `cpu_attention`.

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
    >>> x, frames = torch.rand(3, 7, 20), torch.tensor([7, 7, 2])
    >>> mask = AttentionMask(frames, frames, 7, 7, causal=False)
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
        mask : AttentionMask
            Which keys are seen.
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
        dropout = self.dropout if self.training else 0.0
        weights = None
        if not return_weights and self._in_blocks(query, key, dropout):
            heads = self._project(_product_time_last, query, key, value)
            heads = (x.unflatten(1, (self.num_heads, -1)) for x in heads)
            # [batch, heads, channels, time]
            kept = KeptElements(dropout) if dropout else None
            output = cpu_attention(*heads, mask.seen, mask.stops, kept)
            output = output.flatten(1, 2).mT.to(query.dtype)
            return self.out_proj(output), None
        query, key, value = (
            x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for x in self._project(F.linear, query, key, value)
        )
        # [batch, heads, time, channels]
        if return_weights:
            scores = query @ key.mT / math.sqrt(query.shape[-1])
            weights = scores.masked_fill(~mask.visible, -math.inf).softmax(-1)
            output = F.dropout(weights, dropout) @ value
        else:
            output = _fused_attention(query, key, value, mask, dropout)
        return self.out_proj(output.transpose(1, 2).flatten(2)), weights

    def _in_blocks(self, query, key, dropout):
        """Whether `cpu_attention` is faster than torch's."""
        single = query.dtype != torch.float64
        if not is_eager_cpu(query) or not single or dropout == 1:
            return False
        if dropout:
            return True
        batch, num_queries, dim = query.shape
        count = batch * self.num_heads * num_queries * key.shape[1]
        return count >= MANY_WEIGHTS and dim // self.num_heads < WIDE_HEAD

    def _project(self, product, query, key, value):
        """Projects each of the three; what is one tensor, in one product."""
        weight, bias = self.in_proj.weight, self.in_proj.bias
        dim = query.shape[-1]
        axis = -1 if product is F.linear else 1
        if query is key and key is value:
            return product(query, weight, bias).chunk(3, axis)
        query = product(query, weight[:dim], bias[:dim])
        if key is value:
            both = product(key, weight[dim:], bias[dim:])
            return query, *both.chunk(2, axis)
        parts = zip((key, value), weight[dim:].chunk(2), bias[dim:].chunk(2))
        return query, *(product(*part) for part in parts)


def _product_time_last(x, weight, bias):
    """Projects `[batch, time, dim]` to `[batch, channels, time]`."""
    weight = weight.expand(len(x), -1, -1)
    return torch.baddbmm(bias[:, None], weight, x.mT)


def _fused_attention(query, key, value, mask, dropout):
    if dropout == 1:
        # On a GPU, fused kernels would divide by zero.
        return torch.zeros_like(query)
    channels = query.shape[-1]
    missing = -channels % HEAD_MULTIPLE.get(query.device.type, 1)
    if missing:
        query, key, value = (
            F.pad(x, (0, missing)) for x in (query, key, value)
        )
    hidden = {"is_causal": True}
    if not mask.is_causal:
        hidden = {"attn_mask": mask.bias(query.dtype)}
    return F.scaled_dot_product_attention(
        query, key, value, dropout_p=dropout, scale=channels**-0.5, **hidden
    )[..., :channels]

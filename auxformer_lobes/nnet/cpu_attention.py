"""Attention on a CPU, in blocks that stay in its cache.

torch's fused attention is made for heads of 64 channels, and refuses dropout on
a CPU: then it writes all weights, their mask and their product to memory. Here,
no more than a block of weights exists at a time, without those that a causal
mask or padding hides; the gradient computes them anew, as Dao et al.,
"FlashAttention", NeurIPS 2022, do on a GPU. What dropout keeps is stored, one
byte a weight: to draw it again would take longer.
"""

import math

import numpy as np
import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

WEIGHTS = 2**18  # of a block: 1 MiB
QUERIES = 64  # of a block: fewer hide more of a causal mask, at more calls
# Scores within ±60 need no maximum taken off: exp(60) and sums of it are far
# from the limits of float32.
SAFE_SCORE = 60.0


def cpu_attention(query, key, value, seen, stops, kept=None):
    """Scaled dot-product attention on a CPU.

    Arguments
    ---------
    query : torch.Tensor
        `[batch, heads, channels, num_queries]`.
    key : torch.Tensor
        `[batch, heads, channels, num_keys]`.
    value : torch.Tensor
        `[batch, heads, channels, num_keys]`.
    seen : torch.Tensor or None
        1 where a key is seen, else 0, `[batch, 1, num_keys, num_queries]`;
        None: all are.
    stops : np.ndarray
        One past the last key that each query sees, `[batch, num_queries]`;
        0 where the query is padding.
    kept : KeptElements
        Draws which weights dropout keeps; without, all are kept.

    Returns
    -------
    torch.Tensor
        `[batch, heads, channels, num_queries]`, float32; finite in the
        padding.

    Example
    -------
    >>> x = torch.rand(3, 2, 10, 7)
    >>> stops = torch.full([3, 7], 7).numpy()
    >>> cpu_attention(x, x, x, None, stops).shape
    torch.Size([3, 2, 10, 7])
    """
    # [batch * heads, channels, time]
    flat = (
        x.float().flatten(0, 1)
        for x in (query / math.sqrt(query.shape[2]), key, value)
    )
    return _Attention.apply(*flat, seen, stops, kept).view(query.shape)


class _Attention(Function):
    @staticmethod
    def forward(ctx, query, key, value, seen, stops, kept):
        """Attends, `[batch * heads, channels, time]`, see `cpu_attention`."""
        output = torch.zeros_like(query, memory_format=torch.contiguous_format)
        total = output.new_ones(len(query), 1, query.shape[2])
        masks = []
        for keys, queries, weights, room in _blocks(query, key, seen, stops):
            torch.sum(weights, 1, keepdim=True, out=total[queries])
            if kept is not None:
                masks.append(kept.draw(weights.shape))
                weights *= room.copy_(masks[-1])
            output[queries] = value[keys] @ weights
        # By this are weights divided, and what dropout keeps of them.
        share = 1.0 if kept is None else kept.share
        output /= total.mul_(share)
        ctx.save_for_backward(query, key, value, seen, output, total)
        ctx.options = stops, share, masks
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        """Gradients of query, key and value, from weights computed anew."""
        query, key, value, seen, output, total = ctx.saved_tensors
        stops, share, masks = ctx.options
        d_query, d_key, d_value = (
            torch.zeros_like(x, memory_format=torch.contiguous_format)
            for x in (query, key, value)
        )
        gradient = gradient / total
        # Of a softmax: what is above the mean under its weights.
        mean = (gradient * output).sum(1, keepdim=True).mul_(share)
        blocks = _blocks(query, key, seen, stops)
        for i, (keys, queries, weights, room) in enumerate(blocks):
            d_scores = value[keys].mT @ gradient[queries]
            if masks:
                left = room.copy_(masks[i])
                d_scores *= left
                left *= weights
            else:
                left = weights
            d_value[keys].add_(gradient[queries] @ left.mT)
            d_scores.sub_(mean[queries]).mul_(weights)
            d_query[queries] = key[keys] @ d_scores
            d_key[keys].add_(query[queries] @ d_scores.mT)
        return d_query, d_key, d_value, None, None, None


def _blocks(query, key, seen, stops):
    """Yields by block: where its keys and its queries are, its weights
    `[clips * heads, keys, queries]` before they are divided by their sum, and
    room for as many."""
    (batch, num_queries), num_keys = stops.shape, key.shape[2]
    heads = len(query) // batch
    step = min(QUERIES, num_queries)
    clips = min(batch, max(1, WEIGHTS // (heads * step * num_keys)))
    # Allocated once: fresh memory costs more than all that is done in it.
    buffers = query.new_empty(2, clips * heads * step * num_keys)
    # Scores are at most the product of the norms (Cauchy and Schwarz).
    safe = _largest_norm(query) * _largest_norm(key) < SAFE_SCORE
    first_clips = range(0, batch, clips)
    first_queries = range(0, num_queries, step)
    limits = np.maximum.reduceat(stops, first_clips, 0)
    limits = np.maximum.reduceat(limits, first_queries, 1).tolist()
    for clip, row in zip(first_clips, limits):
        streams = slice(clip * heads, (clip + clips) * heads)
        for start, stop in zip(first_queries, row):
            if not stop:
                continue
            block = slice(clip, clip + clips), slice(start, start + step)
            queries = streams, slice(None), block[1]
            keys = streams, slice(None), slice(stop)
            some = query[queries]
            size = len(some), stop, some.shape[2]
            weights, room = (x[: math.prod(size)].view(size) for x in buffers)
            torch.bmm(key[keys].mT, some, out=weights)
            by_clip = weights.unflatten(0, (-1, heads))
            shown = None if seen is None else seen[block[0], :, :stop, block[1]]
            if not safe:
                if shown is not None:
                    by_clip += shown.log()
                weights -= weights.amax(1, keepdim=True)
            weights.exp_()
            if shown is not None:
                by_clip *= shown
            yield keys, queries, weights, room


def _largest_norm(x):
    return x.square().sum(1).max().sqrt().item()

"""A learnable mean of the layers of an encoder."""

import torch
import torch.nn as nn


class WeightedLayerSum(nn.Module):
    """Weighs the layers of a pretrained encoder that lie side by side.

    One weight a layer, learned through a softmax; at first all are equal, so
    that the result is the mean. Peters et al., "Deep contextualized word
    representations" (ELMo), NAACL 2018; for speech, Yang et al., "SUPERB:
    Speech processing universal performance benchmark", Interspeech 2021.

    Arguments
    ---------
    layers : int
        Number of layers.

    Example
    -------
    >>> mix = WeightedLayerSum(layers=2)
    >>> mix(torch.tensor([[[0.0, 0.0, 2.0, 4.0]]])).tolist()
    [[[1.0, 2.0]]]
    """

    def __init__(self, layers):
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(layers))

    def forward(self, x):
        """Mixes the layers of each frame.

        Arguments
        ---------
        x : torch.Tensor
            `[batch, time, layers * dim]`, one layer after the other.

        Returns
        -------
        torch.Tensor
            `[batch, time, dim]`.
        """
        # [batch, time, layers, dim]
        x = x.unflatten(-1, (len(self.weights), -1))
        return torch.einsum("l,btld->btd", self.weights.softmax(0), x)

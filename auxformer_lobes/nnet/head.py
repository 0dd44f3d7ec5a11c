"""What a network ends in."""

import torch.nn as nn

from auxformer_lobes.nnet.dropout import Dropout


class Head(nn.Module):
    """A residual perceptron that ends in class scores.

    Arguments
    ---------
    dim : int
        Number of input channels.
    hidden : list of int
        Widths of the hidden layers.
    num_classes : int
        Number of classes.
    dropout : float
        Dropout after each hidden layer.

    Example
    -------
    >>> import torch
    >>> Head(20, [16], num_classes=6)(torch.rand(3, 20)).shape
    torch.Size([3, 6])
    """

    def __init__(self, dim, hidden, num_classes, dropout=0.2):
        super().__init__()
        widths = [dim, *hidden]
        layers = []
        for narrow, wide in zip(widths, widths[1:]):
            layers += [nn.Linear(narrow, wide), nn.ReLU(), Dropout(dropout)]
        self.branch = nn.Sequential(*layers, nn.Linear(widths[-1], dim))
        self.output = nn.Linear(dim, num_classes)

    def forward(self, x):
        """Scores each class.

        Arguments
        ---------
        x : torch.Tensor
            `[batch, dim]`.

        Returns
        -------
        torch.Tensor
            Logits, `[batch, classes]`.
        """
        return self.output(x + self.branch(x))

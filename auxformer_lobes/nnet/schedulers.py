"""Learning rate schedules."""

import math

import torch
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)


@register_checkpoint_hooks
class WarmupCosineScheduler:
    """Linear warm-up, then a cosine down to zero, step by step.

    The number of steps depends on the corpus, which the YAML file does not
    know; so it is an argument of the call, unlike in SpeechBrain's schedulers.

    Arguments
    ---------
    lr : float
        Peak learning rate.
    warmup_steps : int
        Steps of the warm-up; 0 for none.

    Example
    -------
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
    >>> scheduler = WarmupCosineScheduler(lr=1.0, warmup_steps=2)
    >>> for _ in range(4):
    ...     scheduler(optimizer, total_steps=4)
    ...     print(round(optimizer.param_groups[0]["lr"], 3))
    0.5
    0.854
    0.5
    0.146
    """

    def __init__(self, lr, warmup_steps):
        if not (lr > 0 and warmup_steps >= 0):
            raise ValueError(
                f"lr {lr} is not above 0, or warmup_steps {warmup_steps} below"
            )
        self.lr = lr
        self.warmup_steps = warmup_steps
        self.num_steps = 0

    def __call__(self, optimizer, total_steps):
        """Sets the learning rate of the next step.

        Arguments
        ---------
        optimizer : torch.optim.Optimizer
            The optimiser.
        total_steps : int
            Number of steps of the whole training.
        """
        cosine = math.cos(math.pi * min(self.num_steps / total_steps, 1))
        self.num_steps += 1
        warmup = min(self.num_steps / max(self.warmup_steps, 1), 1)
        set_rate(optimizer, self.lr * warmup * (1 + cosine) / 2)

    @mark_as_saver
    def save(self, path):
        """Saves the number of steps.

        Arguments
        ---------
        path : Path
            The file.
        """
        torch.save({"num_steps": self.num_steps}, path)

    @mark_as_loader
    def load(self, path, end_of_epoch):
        """Loads the number of steps.

        Arguments
        ---------
        path : Path
            The file.
        end_of_epoch : bool
            Whether the checkpoint is from the end of an epoch.
        """
        self.num_steps = torch.load(path, weights_only=True)["num_steps"]


def set_rate(optimizer, rate):
    """Sets the learning rate of each parameter group, to scale.

    Arguments
    ---------
    optimizer : torch.optim.Optimizer
        Its parameter groups may have a `rate_scale`, 1 by default.
    rate : float
        Learning rate of groups with a scale of 1.

    Example
    -------
    >>> weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    >>> slow = {"params": weights[1:], "rate_scale": 0.1}
    >>> optimizer = torch.optim.SGD([{"params": weights[:1]}, slow])
    >>> set_rate(optimizer, 0.5)
    >>> [group["lr"] for group in optimizer.param_groups]
    [0.5, 0.05]
    """
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("rate_scale", 1)

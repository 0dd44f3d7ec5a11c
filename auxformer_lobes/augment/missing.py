"""What is present and what is missing, in training and in evaluation."""

import torch
import torch.nn as nn

# What they are to people.
WORDS = {"audio": "sound", "visual": "picture"}
# What the model is given in evaluation: (audio, visual).
INPUTS = {
    "audio_visual": (True, True),
    "audio_only": (True, False),
    "visual_only": (False, True),
}


def heads_of(name):
    """The heads that have something to say to one of `INPUTS`.

    Arguments
    ---------
    name : str
        A key of `INPUTS`.

    Returns
    -------
    list of str
        Names of the heads.

    Example
    -------
    >>> heads_of("audio_only")
    ['combined', 'main', 'audio']
    """
    audio, visual = INPUTS[name]
    return ["combined", "main"] + ["audio"] * audio + ["visual"] * visual


class ModalityDropout(nn.Module):
    """Shuts a modality off in training, so that the model learns to do without.

    Audio with one probability, else the visual features with another, never
    both. A sample that has a single modality keeps it.

    Arguments
    ---------
    audio : float
        Probability to shut the audio off.
    visual : float
        Probability to shut the visual features off.
    per_batch : bool
        Whether one draw holds for the whole batch, as published, or each
        sample has its own.

    Example
    -------
    >>> dropout = ModalityDropout(audio=1.0, visual=0.0)
    >>> dropout(torch.tensor([[True, True], [True, False]]))
    tensor([[False,  True],
            [ True, False]])
    >>> dropout.eval()(torch.tensor([[True, True]]))
    tensor([[True, True]])
    """

    def __init__(self, audio=0.2, visual=0.2, per_batch=False):
        super().__init__()
        if min(audio, visual) < 0 or audio + visual > 1:
            raise ValueError(
                f"shut-off probabilities {audio} and {visual} are negative "
                "or more than 1 together"
            )
        self.audio = audio
        self.visual = visual
        self.per_batch = per_batch

    def forward(self, present):
        """Draws what is left.

        Arguments
        ---------
        present : torch.Tensor
            Whether each sample has (audio, visual), boolean `[batch, 2]`.

        Returns
        -------
        torch.Tensor
            What it has left, boolean `[batch, 2]`.
        """
        if not self.training:
            return present
        draw = torch.rand(
            1 if self.per_batch else len(present), device=present.device
        )
        off = torch.stack(
            [
                draw < self.audio,
                (draw >= self.audio) & (draw < self.audio + self.visual),
            ],
            dim=1,
        )
        return present & ~(off & present.all(1, keepdim=True))


def combine_heads(logits, present=None):
    """The prediction of the whole: the mean of the heads' logits.

    Arguments
    ---------
    logits : Logits
        What the three heads say, each `[batch, classes]`.
    present : torch.Tensor
        Whether each sample has (audio, visual), boolean `[batch, 2]`. The
        head of a modality that is missing has no say. By default each has.

    Returns
    -------
    torch.Tensor
        Logits, `[batch, classes]`.

    Example
    -------
    >>> from auxformer_lobes.models.auxformer import Logits
    >>> logits = Logits(*torch.tensor([[[0.0]], [[2.0]], [[7.0]]]))
    >>> combine_heads(logits)
    tensor([[3.]])
    >>> combine_heads(logits, torch.tensor([[True, False]]))
    tensor([[1.]])
    """
    stacked = torch.stack(logits, dim=1)
    # [batch, 3, classes]
    if present is None:
        return stacked.mean(1)
    says = torch.cat([torch.ones_like(present[:, :1]), present], 1)
    says = says.unsqueeze(-1).to(stacked)
    return (stacked * says).sum(1) / says.sum(1)

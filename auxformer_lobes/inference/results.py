"""What is read from a file, and what is recognised in it."""

from dataclasses import dataclass, field
from typing import NamedTuple, Optional, Union

from auxformer_lobes.utils.errors import MediaError


class Emotion(NamedTuple):
    """What is recognised in a clip.

    Arguments
    ---------
    label : str, list of str or None
        The likeliest class; of a model for several emotions a clip, all that
        are there; None of a model for attributes.
    outputs : dict of float
        Probability of each class, calibrated if the model has a temperature;
        or each attribute, on the raters' scale.
    heads : dict of dict
        The same of each head that has a say ("main", "audio", "visual"), as
        it is, not calibrated.
    quality : dict of float
        For each modality that was used, the share of its frames that could
        be trusted: for pictures, those with a face. 1 if nobody can tell.
    missing : dict of str
        For each modality that was not used, the reason.
    face : int
        Which face of a timeline it is, from 1; None if one is followed only.
    """

    label: Union[str, list, None]
    outputs: dict
    heads: dict
    quality: dict
    missing: dict
    face: Optional[int] = None

    @classmethod
    def of(cls, task, clip, outputs, heads):
        """Gives numbers their names.

        Arguments
        ---------
        task : Task
            What is predicted.
        clip : Clip
            What was read.
        outputs : list of float
            The outputs.
        heads : dict of list
            Those of each head that has a say.

        Returns
        -------
        Emotion
        """
        return cls(
            task.decide(outputs),
            dict(zip(task.names, outputs)),
            {head: dict(zip(task.names, x)) for head, x in heads.items()},
            clip.quality,
            clip.missing,
            clip.face,
        )

    def as_dict(self):
        """All of it as JSON has it, without what is not known.

        Returns
        -------
        dict
        """
        told = self._asdict()
        if self.face is None:
            del told["face"]
        return told


@dataclass
class Clip:
    """What was read from a file, on the way to an `Emotion`.

    Arguments
    ---------
    path : str
        The file.
    readings : dict of ClipInput
        What was read of each modality.
    missing : dict of str
        Why a modality is missing.
    quality : dict of float
        Share of its frames that can be trusted.
    face : int
        Which face it is, of several.
    """

    path: str
    readings: dict = field(default_factory=dict)
    missing: dict = field(default_factory=dict)
    quality: dict = field(default_factory=dict)
    face: Optional[int] = None

    def error(self):
        """Why nothing can be said of the clip.

        Returns
        -------
        MediaError
        """
        reasons = [f"{m}: {why}" for m, why in self.missing.items()]
        if len({*self.missing.values()}) == 1:
            reasons = self.missing.values()
        return MediaError(f"{self.path}: {', '.join(dict.fromkeys(reasons))}")


def reason_of(error, path):
    """What is wrong with a file, without its name.

    Arguments
    ---------
    error : MediaError
        What is wrong.
    path : str or Path
        The file.

    Returns
    -------
    str

    Example
    -------
    >>> reason_of(MediaError("clip.wav: is silent"), "clip.wav")
    'is silent'
    """
    return str(error).replace(f"{path}: ", "", 1)

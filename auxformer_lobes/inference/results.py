"""What a model recognises in a clip."""

from typing import NamedTuple, Optional, Union


class Emotion(NamedTuple):
    """The emotion recognised in a clip.

    Arguments
    ---------
    label : str, list of str or None
        The most probable class; of a multi-label model, all classes that are
        present; None of a model of emotional attributes.
    outputs : dict of float
        Class → probability, calibrated if the model has a temperature; or
        attribute → value on the raters' scale.
    heads : dict of dict
        Head → its own outputs, not calibrated, for each head that
        contributes.
    valid_share : dict of float
        Modality → share of its frames that are valid, of video those with a
        face; 1 if the features do not tell. Only modalities that were used.
    missing : dict of str
        Modality → why it was not used.
    notes : dict of str
        Modality → what is peculiar about its file, where it was used
        nevertheless: a part that cannot be decoded, one of several tracks.
    face : int
        Number of the face in a timeline of all faces, from 1; else None.
    """

    label: Union[str, list, None]
    outputs: dict
    heads: dict
    valid_share: dict
    missing: dict
    notes: dict
    face: Optional[int] = None

    def as_dict(self):
        """The fields as JSON has them, without `face` where it is None.

        Returns
        -------
        dict
        """
        fields = self._asdict()
        if self.face is None:
            del fields["face"]
        return fields

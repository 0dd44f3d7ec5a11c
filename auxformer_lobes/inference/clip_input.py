"""From wav and video files to features, as in training."""

from dataclasses import dataclass, field
from typing import Optional

import torch
from speechbrain.utils.data_utils import batch_pad_right

from auxformer_lobes.dataio.media_check import SAMPLE_RATE
from auxformer_lobes.features.raw import RawInputs
from auxformer_lobes.processing.audio import is_silent, read_audio
from auxformer_lobes.processing.media import TooLongError, reading, too_short
from auxformer_lobes.utils.errors import MediaError, UserError
from auxformer_lobes.utils.modalities import MODALITIES

NOT_READ = "not read by the network"
MAX_SECONDS = 300.0  # of a file; memory grows with the length, or its square
TOO_LOW = "no frame reaches min_face_quality"


@dataclass(eq=False)  # a key of dictionaries
class Clip:
    """What was read from a file, or from a window of it.

    Arguments
    ---------
    path : str
        The file; "" if features were given.
    inputs : dict of ClipInput
        Modality → what its extractor read.
    missing : dict of str
        Modality → why it cannot be used.
    valid_share : dict of float
        Modality → share of its frames that are valid.
    seconds : float
        Length of the longer modality, s.
    notes : dict of str
        Modality → what is peculiar about its file, where it was read
        nevertheless.
    face : int
        Number of the face, where all faces are followed.
    """

    path: str = ""
    inputs: dict = field(default_factory=dict)
    missing: dict = field(default_factory=dict)
    valid_share: dict = field(default_factory=dict)
    seconds: float = 0.0
    notes: dict = field(default_factory=dict)
    face: Optional[int] = None

    def error(self):
        """Why nothing can be recognised in the clip.

        Returns
        -------
        MediaError
        """
        reasons = [f"{m}: {reason}" for m, reason in self.missing.items()]
        if len({*self.missing.values()}) == 1:
            reasons = [*self.missing.values()][:1]
        return MediaError(f"{self.path}: {', '.join(reasons)}")


class ClipReader:
    """Reads files and computes features, as extraction and training do.

    Features are rounded as in the `FeatureStore`, and frames of low face
    quality count as lost. Where training included an encoder, it encodes here
    too.

    Arguments
    ---------
    modules : dict of torch.nn.Module
        The model's; `audio_encoder` and `visual_encoder` are used, if any.
        What the `network` does not read is not read from files.
    hparams : SimpleNamespace
        With `audio_features`, `visual_features`, `feature_dtype` and
        `min_face_quality`, see `hub.load`.
    device : str
        Where encoders run.
    audio_track : int
        Which audio track of a file is read, from 1; by default the default
        one, or else the first that is not silent.
    max_seconds : float
        Length of the longest file that `open` reads, s. Memory is bounded by
        it: reading stops there, with an error that names `auxformer timeline`.

    Example
    -------
    >>> import tempfile
    >>> from types import SimpleNamespace
    >>> import soundfile
    >>> from auxformer_lobes.features.fbank import FbankFeatures
    >>> path = tempfile.mkdtemp() + "/noise.wav"
    >>> soundfile.write(path, torch.rand(16000).numpy(), 16000)
    >>> hparams = SimpleNamespace(
    ...     audio_features=FbankFeatures(),
    ...     visual_features=None,
    ...     feature_dtype={"audio": "float16"},
    ...     min_face_quality=1,
    ... )
    >>> reader = ClipReader({}, hparams, "cpu")
    >>> clip = reader.open(path)
    >>> features, mask = reader.features("audio", [clip])[clip]
    >>> features.shape, mask.sum()
    (torch.Size([101, 120]), tensor(101))
    """

    def __init__(
        self,
        modules,
        hparams,
        device,
        audio_track=None,
        max_seconds=MAX_SECONDS,
    ):
        self.audio_track = audio_track
        self.max_seconds = max_seconds
        self.extractors = {
            m: getattr(hparams, f"{m}_features") for m in MODALITIES
        }
        self.encoders = {
            m: modules[f"{m}_encoder"]
            for m in MODALITIES
            if f"{m}_encoder" in modules
        }
        self.modalities = MODALITIES
        if "network" in modules:
            self.modalities = modules["network"].modalities
        self.hparams = hparams
        self.device = device
        for extractor in self.extractors.values():
            if hasattr(extractor, "device"):
                extractor.device = device

    def open(self, path):
        """Reads both modalities of a file, as far as it has them.

        One that is shorter than 0.3 s, or half as long as the other, is
        missing, as in preparation; and both, where one is too long.

        Arguments
        ---------
        path : str or Path
            A wav or video file.

        Returns
        -------
        Clip
        """
        clip = Clip(str(path))
        with reading(self.audio_track, self.max_seconds) as found:
            for modality in MODALITIES:
                try:
                    clip.inputs[modality] = self.read(modality, str(path))
                except TooLongError as error:
                    reason = reason_of(error, path)
                    return Clip(
                        str(path), {}, dict.fromkeys(MODALITIES, reason)
                    )
                except MediaError as error:
                    clip.missing[modality] = reason_of(error, path)
        seconds = {
            modality: found.seconds[modality]
            for modality in clip.inputs
            if modality in found.seconds
        }
        for modality, own in seconds.items():
            others = [
                length
                for other, length in seconds.items()
                if other != modality and self._is_usable(clip.inputs.get(other))
            ]
            if reason := too_short(own, max(others, default=None)):
                clip.missing[modality] = reason
                del clip.inputs[modality]
        clip.seconds = max(seconds.values(), default=0.0)
        clip.notes = {
            m: found.notes[m] for m in clip.inputs if m in found.notes
        }
        return clip

    def read(self, modality, path):
        """Reads one modality of a file of any length, such as a section.

        Within `processing.media.reading`, which collects notes, the audio is
        decoded once.

        Arguments
        ---------
        modality : str
            "audio" or "visual".
        path : str
            A wav or video file.

        Returns
        -------
        ClipInput

        Raises
        ------
        MediaError
            If the file lacks the modality or is silent, the network does not
            read it, or the model's features of it are precomputed.
        UserError
            If the features of both modalities are precomputed.
        """
        extractor = self._extractor(modality)
        if modality == "visual":
            return extractor.read(path, path)
        if is_silent(read_audio(path, SAMPLE_RATE)):
            raise MediaError(f"{path}: is silent")
        return extractor.read(path, path)

    def read_faces(self, path):
        """Reads every face in a video file.

        Arguments
        ---------
        path : str
            A video file.

        Returns
        -------
        list of tuple
            The `Faces` and the `ClipInput` of each face.

        Raises
        ------
        MediaError
            If the file has no video stream.
        UserError
            If the visual features are not of faces.
        """
        extractor = self._extractor("visual")
        if not hasattr(extractor, "read_each"):
            raise UserError(
                f"faces: {extractor.settings['class']} does not track faces: "
                'choose faces="largest"'
            )
        return extractor.read_each(path)

    def _extractor(self, modality):
        extractor = self.extractors[modality]
        if not any(self.extractors.values()):
            raise UserError(
                "the model was trained on precomputed features, which cannot "
                "be extracted from files: pass features to classify_batch"
            )
        if modality not in self.modalities:
            raise MediaError(NOT_READ)
        if extractor is None:
            raise MediaError("the model's features of it are precomputed")
        return RawInputs(extractor) if modality in self.encoders else extractor

    def features(self, modality, clips):
        """Features of the clips that have a modality.

        Arguments
        ---------
        modality : str
            "audio" or "visual".
        clips : list of Clip
            What was read; sets their `valid_share` or `missing`.

        Returns
        -------
        dict of tuple
            Clip → its features, `[time, channels]`, and which of its frames
            are there, boolean `[time]`.
        """
        usable = []
        for clip in clips:
            if modality in clip.inputs:
                if self._is_usable(clip.inputs[modality]):
                    usable.append(clip)
                else:
                    validity = clip.inputs[modality].frame_validity
                    clip.missing[modality] = (
                        TOO_LOW if validity.any() else "no face in any frame"
                    )
        if not usable:
            return {}
        values = [clip.inputs[modality].data for clip in usable]
        if modality not in self.encoders:
            values = self.extractors[modality].encode(values)
        features = {}
        for clip, x in zip(usable, values):
            try:
                features[clip] = self._as_stored(clip, modality, x)
            except MediaError as error:
                clip.missing[modality] = str(error)
        if modality in self.encoders and features:
            features = self._encode(modality, features)
        for clip, (_, mask) in features.items():
            if not mask.any():
                clip.missing[modality] = TOO_LOW
                del clip.valid_share[modality]
        return {c: x for c, x in features.items() if modality not in c.missing}

    def _is_usable(self, clip_input):
        """Whether it has any frame that counts: a face, of a video."""
        if clip_input is None:
            return False
        validity = clip_input.frame_validity
        return validity is None or bool(self._is_there(validity).any())

    def _is_there(self, validity):
        return validity >= self.hparams.min_face_quality

    def _encode(self, modality, features):
        """Encodes what the model's own encoder is given."""
        values, masks = zip(*features.values())
        (x, lens), (mask, _) = batch_pad_right(values), batch_pad_right(masks)
        x, lens, mask = self.encoders[modality](
            *(each.to(self.device) for each in (x, lens, mask))
        )
        frames = (lens * x.shape[1]).round().long()
        return {
            clip: (encoded[:n].cpu(), there[:n].cpu())
            for clip, encoded, there, n in zip(features, x, mask, frames)
        }

    def _as_stored(self, clip, modality, x):
        """Features, rounded as in the store, and which frames are there."""
        if not len(x):
            raise MediaError("too short for a single frame")
        x = x.cpu().to(getattr(torch, self.hparams.feature_dtype[modality]))
        if not x.isfinite().all():
            raise MediaError("its features are not finite")
        if x.dtype != torch.uint8:
            x = x.float()
        validity = clip.inputs[modality].frame_validity
        mask, valid_share = torch.ones(len(x), dtype=torch.bool), 1.0
        if validity is not None:
            if len(validity) != len(x):  # rounding, in windows of a timeline
                at = torch.linspace(0, len(validity) - 1, len(x)).round().long()
                validity = validity[at]
            valid_share = (validity > 0).float().mean().item()
            mask = self._is_there(validity)
        clip.valid_share[modality] = valid_share
        return x, mask


def reason_of(error, path):
    """The message of an error, without the name of its file.

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

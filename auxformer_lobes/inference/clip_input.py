"""From sound and video files to features, as the training had them."""

import torch
from speechbrain.utils.data_utils import batch_pad_right

from auxformer_lobes.dataio.media_check import SAMPLE_RATE, SILENCE
from auxformer_lobes.features.raw import RawInputs
from auxformer_lobes.inference.results import Clip, reason_of
from auxformer_lobes.processing.media import read_audio
from auxformer_lobes.utils.errors import MediaError, UserError
from auxformer_lobes.utils.modalities import MODALITIES


class ClipFeatures:
    """Features of any files, for the norms and the network of a model.

    In the training they were encoded, stored, which rounds them, and left out
    where they could not be trusted; or stored first, if the encoder was
    trained too.

    Arguments
    ---------
    modules : dict of torch.nn.Module
        Those of the model; of interest are the encoders that were trained.
    hparams : SimpleNamespace
        What `hub.load` returns.
    device : str
        Where encoders run.

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
    >>> features = ClipFeatures({}, hparams, "cpu")
    >>> clip = features.open(path)
    >>> [x.shape for x in features("audio", [clip]).values()]
    [torch.Size([101, 120])]
    """

    def __init__(self, modules, hparams, device):
        self.extractors = {
            m: getattr(hparams, f"{m}_features") for m in MODALITIES
        }
        self.encoders = {
            m: modules[f"{m}_encoder"]
            for m in MODALITIES
            if f"{m}_encoder" in modules
        }
        self.hparams = hparams
        self.device = device
        for extractor in self.extractors.values():
            if hasattr(extractor, "device"):
                extractor.device = device

    def open(self, path):
        """Reads what there is in a file.

        Arguments
        ---------
        path : str or Path
            A sound or video file.

        Returns
        -------
        Clip
        """
        clip = Clip(str(path))
        for modality in MODALITIES:
            try:
                clip.readings[modality] = self.read(modality, str(path))
            except MediaError as error:
                clip.missing[modality] = reason_of(error, path)
        return clip

    def read(self, modality, path):
        """Reads one modality of a file.

        Arguments
        ---------
        modality : str
            "audio" or "visual".
        path : str
            A sound or video file.

        Returns
        -------
        ClipInput

        Raises
        ------
        MediaError
            If the file does not have it, or is silent, or the features of the
            model are not made from files.
        UserError
            If no features of the model are.
        """
        extractor = self._extractor(modality)
        if modality == "audio":
            sound = read_audio(path, SAMPLE_RATE)
            if sound.max() - sound.min() < SILENCE:
                raise MediaError(f"{path}: is silent")
        return extractor.read(path, path)

    def read_each(self, path):
        """Reads every face of a file.

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
            If the file has no pictures.
        UserError
            If the model does not look at faces.
        """
        extractor = self._extractor("visual")
        if not hasattr(extractor, "read_each"):
            raise UserError(
                f"faces: {extractor.settings['class']} does not look for them: "
                'take faces="largest"'
            )
        return extractor.read_each(path)

    def _extractor(self, modality):
        extractor = self.extractors[modality]
        if not any(self.extractors.values()):
            raise UserError(
                "the features of this model came with its corpus, and are not "
                "made from files: give them to classify_batch"
            )
        if extractor is None:
            raise MediaError("the model's features of it came with its corpus")
        return RawInputs(extractor) if modality in self.encoders else extractor

    def __call__(self, modality, clips):
        """Features of the clips that have a modality.

        Arguments
        ---------
        modality : str
            "audio" or "visual".
        clips : list of Clip
            What was read. Its quality is noted there, and why there are no
            features.

        Returns
        -------
        dict of torch.Tensor
            Identity of the clip -> `[time, channels]`.
        """
        usable = []
        for clip in clips:
            if modality in clip.readings:
                quality = clip.readings[modality].frame_validity
                if quality is None or quality.any():
                    usable.append(clip)
                else:
                    clip.missing[modality] = "no face in any frame"
        if not usable:
            return {}
        values = [clip.readings[modality].data for clip in usable]
        if modality not in self.encoders:
            values = self.extractors[modality].encode(values)
        features = {}
        for clip, x in zip(usable, values):
            try:
                features[id(clip)] = self._trusted(clip, modality, x)
            except MediaError as error:
                clip.missing[modality] = str(error)
        if modality in self.encoders and features:
            x, lens = batch_pad_right([*features.values()])
            x, lens = self.encoders[modality](
                x.to(self.device), lens.to(self.device)
            )
            frames = (lens * x.shape[1]).round().long()
            for key, encoded, n in zip(features, x, frames):
                features[key] = encoded[:n].cpu()
        return features

    def _trusted(self, clip, modality, x):
        """What can be trusted, rounded as in the store of the training."""
        if not len(x):
            raise MediaError("too short for a single frame")
        x = x.cpu().to(getattr(torch, self.hparams.feature_dtype[modality]))
        if not x.isfinite().all():
            raise MediaError("its features are not finite")
        if x.dtype != torch.uint8:
            x = x.float()
        quality = clip.readings[modality].frame_validity
        trusted = 1.0
        if quality is not None:
            if len(quality) != len(x):  # of a window of a timeline
                at = torch.linspace(0, len(quality) - 1, len(x)).round().long()
                quality = quality[at]
            trusted = (quality > 0).float().mean().item()
            x = x[quality >= self.hparams.min_face_quality]
        if not len(x):
            raise MediaError("no frame of enough quality")
        clip.quality[modality] = trusted
        return x

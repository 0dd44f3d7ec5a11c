"""A trained AuxFormer on any sound or video file."""

from itertools import islice

import torch
from speechbrain.inference.interfaces import Pretrained
from speechbrain.utils.data_utils import batch_pad_right

from auxformer_lobes.inference.clip_input import ClipFeatures
from auxformer_lobes.inference.results import Clip, Emotion
from auxformer_lobes.inference.timeline import timeline
from auxformer_lobes.models.base import combine_heads
from auxformer_lobes.sharing import hub
from auxformer_lobes.utils.errors import MediaError
from auxformer_lobes.utils.modalities import MODALITIES


class AudioVisualEmotionRecognizer(Pretrained):
    """Recognises emotion in sound, in pictures, or in both.

    Features are made as in the training, down to their rounding. A modality
    that a file does not have is missing: no such stream, silence, no face in
    any frame, or damaged.

    Arguments
    ---------
    modules : dict of torch.nn.Module
        Those of `hub.load`.
    hparams : dict
        What `hub.load` returns.
    run_opts : dict
        SpeechBrain's options, such as `device`.
    freeze_params : bool
        Whether no parameter needs gradients.

    Example
    -------
    >>> from auxformer_lobes.features.fbank import FbankFeatures
    >>> from auxformer_lobes.features.hog import HogFeatures
    >>> from auxformer_lobes.models.auxformer import AuxFormer
    >>> from auxformer_lobes.tasks import CategoricalEmotion
    >>> fbank, hog = FbankFeatures(n_mels=4), HogFeatures()
    >>> modules = {
    ...     "audio_norm": torch.nn.Identity(),
    ...     "visual_norm": torch.nn.Identity(),
    ...     "network": AuxFormer(fbank.dim, hog.dim, num_classes=2),
    ... }
    >>> hparams = {
    ...     "task": CategoricalEmotion(["angry", "happy"]),
    ...     "audio_features": fbank,
    ...     "visual_features": hog,
    ...     "feature_dtype": {"audio": "float16", "visual": "float16"},
    ...     "min_face_quality": 1,
    ... }
    >>> recognizer = AudioVisualEmotionRecognizer(modules, hparams)
    >>> (emotion,) = recognizer.classify_batch(
    ...     audio=torch.rand(1, 9, fbank.dim)
    ... )
    >>> sorted(emotion.outputs), sorted(emotion.heads), emotion.missing
    (['angry', 'happy'], ['audio', 'main'], {'visual': 'not given'})
    >>> recognizer.encode_batch(audio=torch.rand(3, 9, fbank.dim)).shape
    torch.Size([3, 100])
    """

    MODULES_NEEDED = ["audio_norm", "visual_norm", "network"]
    HPARAMS_NEEDED = [
        "task",
        "audio_features",
        "visual_features",
        "feature_dtype",
        "min_face_quality",
    ]

    def __init__(
        self, modules=None, hparams=None, run_opts=None, freeze_params=True
    ):
        super().__init__(modules, hparams, run_opts, freeze_params)
        self.features = ClipFeatures(self.mods, self.hparams, self.device)

    @classmethod
    def from_hparams(
        cls,
        source,
        savedir=None,
        run_opts=None,
        revision=None,
        trust_source=False,
        overrides=None,
    ):
        """Loads an exported model; nothing that comes with it is run.

        Arguments
        ---------
        source : str or Path
            A folder that `auxformer export` has written, or a name on the
            Hugging Face Hub.
        savedir : str or Path
            Where to keep what is fetched; the Hub's own cache by default.
        run_opts : dict
            SpeechBrain's options: `{"device": "cuda:0"}`.
        revision : str
            Branch, tag or commit on the Hub.
        trust_source : bool
            Whether the model may run any code.
        overrides : dict
            Changes to what its `hyperparams.yaml` says.

        Returns
        -------
        AudioVisualEmotionRecognizer

        Raises
        ------
        UserError
            If there is no such model, or it is refused.
        """
        hparams = hub.load(source, savedir, revision, trust_source, overrides)
        return cls(hparams["modules"], hparams, run_opts)

    def classify_file(self, path):
        """Recognises the emotion in a file.

        Arguments
        ---------
        path : str or Path
            A sound or video file.

        Returns
        -------
        Emotion

        Raises
        ------
        MediaError
            If it has neither sound nor a face.
        """
        return self.classify_files([path])[0]

    def classify_files(self, paths, batch_size=8):
        """Recognises the emotion in each file.

        What is said of a file does not depend on those beside it.

        Arguments
        ---------
        paths : list of str or Path
            Sound or video files.
        batch_size : int
            Files that are in memory, and on the device, at a time.

        Returns
        -------
        list of Emotion

        Raises
        ------
        MediaError
            If one has neither sound nor a face; see `try_files`.
        """
        emotions = []
        for _, emotion in self.try_files(paths, batch_size):
            if isinstance(emotion, MediaError):
                raise emotion
            emotions.append(emotion)
        return emotions

    def try_files(self, paths, batch_size=8):
        """Recognises the emotion in those files in which it is possible.

        Arguments
        ---------
        paths : iterable of str or Path
            Sound or video files.
        batch_size : int
            Files that are in memory, and on the device, at a time.

        Yields
        ------
        path : str or Path
            Each file.
        emotion : Emotion or MediaError
            What it shows, or why that cannot be said.
        """
        paths = iter(paths)
        while batch := list(islice(paths, batch_size)):
            yield from zip(
                batch, self.classify_clips(map(self.features.open, batch))
            )

    def timeline(
        self, path, window=2.0, hop=0.5, faces="largest", batch_size=8
    ):
        """Recognises emotion in a file of any length, window by window.

        See `auxformer_lobes.inference.timeline.timeline`.

        Arguments
        ---------
        path : str or Path
            A sound or video file.
        window : float
            s.
        hop : float
            s, from one window to the next.
        faces : str
            "largest", or "all".
        batch_size : int
            Windows that are on the device at a time.

        Returns
        -------
        iterator of tuple
            Start and end of each window (s), and its `Emotion`.
        """
        return timeline(self, path, window, hop, faces, batch_size)

    def classify_batch(
        self, audio=None, visual=None, audio_lens=None, visual_lens=None
    ):
        """Recognises emotion in features, as the extractors make them.

        Arguments
        ---------
        audio : torch.Tensor
            `[batch, time, channels]`, not normalised; None if missing.
        visual : torch.Tensor
            Likewise.
        audio_lens : torch.Tensor
            Relative lengths, `[batch]`; whole without. 0 is missing.
        visual_lens : torch.Tensor
            Likewise.

        Returns
        -------
        list of Emotion
        """
        logits, present = self._run(audio, visual, audio_lens, visual_lens)
        clips = []
        for has in present.tolist():
            quality = {m: 1.0 for m, there in zip(MODALITIES, has) if there}
            missing = {m: "not given" for m in MODALITIES if m not in quality}
            clips.append(Clip("", {}, missing, quality))
        return self._emotions(clips, logits, present)

    forward = classify_batch

    def encode_batch(
        self, audio=None, visual=None, audio_lens=None, visual_lens=None
    ):
        """What the fusion network knows of each sample.

        Arguments
        ---------
        audio : torch.Tensor
            `[batch, time, channels]`, not normalised; None if missing.
        visual : torch.Tensor
            Likewise.
        audio_lens : torch.Tensor
            Relative lengths, `[batch]`; whole without. 0 is missing.
        visual_lens : torch.Tensor
            Likewise.

        Returns
        -------
        torch.Tensor
            What the last layer of the main head is given,
            `[batch, 2 * model_dim]`.
        """
        seen = []
        layer = self.mods.network.embedding_layer
        hook = layer.register_forward_pre_hook(lambda _, x: seen.extend(x))
        try:
            self._run(audio, visual, audio_lens, visual_lens)
        finally:
            hook.remove()
        return seen[0]

    @torch.no_grad()
    def classify_clips(self, clips):
        """Recognises emotion in what was read from some files.

        Arguments
        ---------
        clips : iterable of Clip
            What was read. What turns out to be missing is noted there.

        Returns
        -------
        list of Emotion or MediaError
        """
        clips = list(clips)
        features = {m: self.features(m, clips) for m in MODALITIES}
        rest = [clip for clip in clips if len(clip.missing) < len(MODALITIES)]
        told = {}
        if rest:
            batch = []
            for modality, found in features.items():
                nothing = torch.zeros(1, self.mods.network.dims[modality])
                batch.append([found.get(id(c), nothing) for c in rest])
            (audio, audio_lens), (visual, visual_lens) = (
                batch_pad_right(x) for x in batch
            )
            present = torch.tensor(
                [[m not in clip.missing for m in MODALITIES] for clip in rest]
            )
            logits, present = self._run(
                audio, visual, audio_lens, visual_lens, present
            )
            emotions = self._emotions(rest, logits, present)
            told = {id(clip): e for clip, e in zip(rest, emotions)}
        return [told.get(id(clip)) or clip.error() for clip in clips]

    @torch.no_grad()
    def _run(self, audio, visual, audio_lens, visual_lens, present=None):
        """Logits, and whether each sample has (audio, visual)."""
        given = [x for x in (audio, visual) if x is not None]
        if not given:
            raise ValueError("audio and visual are both None")
        inputs, relative, there = [], [], []
        for modality, x, lens in (
            ("audio", audio, audio_lens),
            ("visual", visual, visual_lens),
        ):
            is_given = x is not None
            if not is_given:
                x = torch.zeros(
                    len(given[0]), 1, self.mods.network.dims[modality]
                )
            if lens is None:
                lens = torch.ones(len(x))
            x = x.to(self.device).float()
            inputs.append(self.mods[f"{modality}_norm"](x))
            relative.append(lens.to(self.device))
            there.append((relative[-1] > 0) & is_given)
        if present is None:
            present = torch.stack(there, 1)
        present = present.to(self.device)
        return self.mods.network(*inputs, *relative, present), present

    def _emotions(self, clips, logits, present):
        """What the logits mean, clip by clip."""
        task = self.hparams.task
        head_mask = self.mods.network.head_mask(present)
        combined = combine_heads(logits, head_mask)
        combined = task.calibrate(task.outputs(combined)).tolist()
        heads = {h: task.outputs(x).tolist() for h, x in logits.items()}
        return [
            Emotion.of(
                task,
                clip,
                combined[i],
                {
                    h: heads[h][i]
                    for h, there in zip(heads, contributes)
                    if there
                },
            )
            for i, (clip, contributes) in enumerate(
                zip(clips, head_mask.tolist())
            )
        ]

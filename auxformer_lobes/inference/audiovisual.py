"""A trained model on any wav or video file."""

from itertools import chain

import torch
from speechbrain.dataio.dataio import length_to_mask
from speechbrain.inference.interfaces import Pretrained
from speechbrain.utils.data_utils import batch_pad_right

from auxformer_lobes.inference.clip_input import NOT_READ, Clip, ClipReader
from auxformer_lobes.inference.results import Emotion
from auxformer_lobes.inference.timeline import timeline
from auxformer_lobes.models.base import combine_heads
from auxformer_lobes.sharing import hub
from auxformer_lobes.utils.errors import MediaError
from auxformer_lobes.utils.modalities import MODALITIES
from auxformer_lobes.utils.precision import without_tf32

MAX_BATCH = 300.0  # s of a batch, with padding


class AudioVisualEmotionRecognizer(Pretrained):
    """Recognises emotion from audio, from video, or from both.

    Features are computed as in training. A modality is missing where a file
    has no such stream, is silent, shows no face or is damaged.

    Arguments
    ---------
    modules : dict of torch.nn.Module
        `modules` of `hub.load`.
    hparams : dict
        What `hub.load` returns.
    run_opts : dict
        SpeechBrain's options, such as `device`.
    freeze_params : bool
        Whether parameters need no gradients.

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
        self.reader = ClipReader(self.mods, self.hparams, self.device)

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
        """Loads an exported model, without running code that comes with it.

        Arguments
        ---------
        source : str or Path
            A folder that `auxformer export` wrote, or a name on the Hugging
            Face Hub.
        savedir : str or Path
            Folder for downloads; the Hub's own cache by default.
        run_opts : dict
            SpeechBrain's options: `{"device": "cuda:0"}`.
        revision : str
            Branch, tag or commit on the Hub.
        trust_source : bool
            Whether the model may run any code.
        overrides : dict
            Replaces values of its `hyperparams.yaml`.

        Returns
        -------
        AudioVisualEmotionRecognizer

        Raises
        ------
        UserError
            If there is no such model, or it fails the checks.
        """
        hparams = hub.load(source, savedir, revision, trust_source, overrides)
        return cls(hparams["modules"], hparams, run_opts)

    def classify_file(self, path):
        """Recognises the emotion in a file.

        Arguments
        ---------
        path : str or Path
            A wav or video file.

        Returns
        -------
        Emotion

        Raises
        ------
        MediaError
            If both modalities are missing.
        """
        return self.classify_files([path])[0]

    def classify_files(self, paths, batch_size=8):
        """Recognises the emotion in each file.

        Padding is masked: the outputs of a file do not depend on the others
        in its batch, up to rounding (1e-5).

        Arguments
        ---------
        paths : list of str or Path
            Wav or video files.
        batch_size : int
            Files in memory, and on the device, at a time.

        Returns
        -------
        list of Emotion

        Raises
        ------
        MediaError
            If both modalities of a file are missing; see `try_files`.
        """
        emotions = []
        for _, emotion in self.try_files(paths, batch_size):
            if isinstance(emotion, MediaError):
                raise emotion
            emotions.append(emotion)
        return emotions

    def try_files(self, paths, batch_size=8):
        """Recognises the emotion in each file, and goes on after errors.

        Arguments
        ---------
        paths : iterable of str or Path
            Wav or video files.
        batch_size : int
            Files in memory, and on the device, at a time; fewer, where with
            padding they would last longer than 300 s together.

        Yields
        ------
        path : str or Path
            Each file.
        emotion : Emotion or MediaError
            Its emotion, or why there is none.
        """
        for batch in self._batches(paths, batch_size):
            read, clips = zip(*batch)
            yield from zip(read, self.classify_clips(clips))

    def _batches(self, paths, batch_size):
        """Reads files: yields lists of paths and clips."""
        batch = []
        for path in paths:
            clip = self.reader.open(path)
            longest = max(c.seconds for c in (clip, *(c for _, c in batch)))
            if batch and longest * (len(batch) + 1) > MAX_BATCH:
                yield batch
                batch = []
            batch.append((path, clip))
            if len(batch) == batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def timeline(
        self, path, window=2.0, hop=0.5, faces="largest", batch_size=8
    ):
        """Recognises emotion window by window, in a file of any length.

        See `auxformer_lobes.inference.timeline.timeline`.

        Arguments
        ---------
        path : str or Path
            A wav or video file.
        window : float
            Length of a window, s.
        hop : float
            From one window to the next, s.
        faces : str
            Which faces are followed: "largest" or "all".
        batch_size : int
            Windows on the device at a time.

        Returns
        -------
        iterator of tuple
            Start and end of each window (s), and its `Emotion`.
        """
        return timeline(self, path, window, hop, faces, batch_size)

    def classify_batch(
        self,
        audio=None,
        visual=None,
        audio_lens=None,
        visual_lens=None,
        audio_mask=None,
        visual_mask=None,
    ):
        """Recognises emotion from features, as the extractors compute them.

        Arguments
        ---------
        audio : torch.Tensor
            `[batch, time, channels]`, not normalised; None if missing.
        visual : torch.Tensor
            Likewise.
        audio_lens : torch.Tensor
            Relative lengths, `[batch]`, 1 by default; 0 where missing.
        visual_lens : torch.Tensor
            Likewise.
        audio_mask : torch.Tensor
            Frames that are there, boolean `[batch, time]`; all by default. A
            lost frame keeps its place in time.
        visual_mask : torch.Tensor
            Likewise.

        Returns
        -------
        list of Emotion
        """
        logits, shares = self._run(
            *(audio, visual, audio_lens, visual_lens, audio_mask, visual_mask)
        )
        clips, read = [], self.mods.network.modalities
        for row in shares.tolist():
            valid_share = {
                m: share
                for m, share in zip(MODALITIES, row)
                if share and m in read
            }
            missing = {
                m: "not given" if m in read else NOT_READ
                for m in MODALITIES
                if m not in valid_share
            }
            clips.append(Clip(missing=missing, valid_share=valid_share))
        return self._emotions(clips, logits, shares > 0)

    forward = classify_batch

    def encode_batch(
        self,
        audio=None,
        visual=None,
        audio_lens=None,
        visual_lens=None,
        audio_mask=None,
        visual_mask=None,
    ):
        """Computes the fused embedding of each sample.

        Arguments
        ---------
        audio : torch.Tensor
            `[batch, time, channels]`, not normalised; None if missing.
        visual : torch.Tensor
            Likewise.
        audio_lens : torch.Tensor
            Relative lengths, `[batch]`, 1 by default; 0 where missing.
        visual_lens : torch.Tensor
            Likewise.
        audio_mask : torch.Tensor
            Frames that are there, boolean `[batch, time]`; all by default. A
            lost frame keeps its place in time.
        visual_mask : torch.Tensor
            Likewise.

        Returns
        -------
        torch.Tensor
            Input of the network's `embedding_layer`: of an AuxFormer, of the
            last layer of the main head, `[batch, 2 * model_dim]`.
        """
        inputs = []
        layer = self.mods.network.embedding_layer
        hook = layer.register_forward_pre_hook(lambda _, x: inputs.extend(x))
        try:
            self._run(
                *(audio, visual, audio_lens, visual_lens),
                *(audio_mask, visual_mask),
            )
        finally:
            hook.remove()
        return inputs[0]

    @torch.no_grad()
    def classify_clips(self, clips):
        """Recognises emotion in clips that were read.

        Arguments
        ---------
        clips : iterable of Clip
            What `reader` read; sets their `valid_share` and `missing`.

        Returns
        -------
        list of Emotion or MediaError
        """
        clips = list(clips)
        features = {m: self.reader.features(m, clips) for m in MODALITIES}
        usable = [clip for clip in clips if len(clip.missing) < len(MODALITIES)]
        results = {clip: clip.error() for clip in clips if clip not in usable}
        if usable:
            streams = []
            for modality, found in features.items():
                # As in training: one frame, which is not there.
                nothing = (
                    torch.zeros(1, self.mods.network.dims[modality]),
                    torch.zeros(1, dtype=torch.bool),
                )
                x, mask = zip(*(found.get(clip, nothing) for clip in usable))
                streams.append((*batch_pad_right(x), batch_pad_right(mask)[0]))
            audio, visual = streams
            logits, shares = self._run(*chain(*zip(audio, visual)))
            emotions = self._emotions(usable, logits, shares > 0)
            results.update(zip(usable, emotions))
        return [results[clip] for clip in clips]

    @without_tf32()
    @torch.no_grad()
    def _run(
        self, audio, visual, audio_lens, visual_lens, audio_mask, visual_mask
    ):
        """Logits by head, and shares of frames that are there `[batch, 2]`."""
        given = [x for x in (audio, visual) if x is not None]
        if not given:
            raise ValueError("audio and visual are both None")
        batch = len(given[0])
        inputs, relative, masks, shares = [], [], [], []
        for modality, x, lens, mask in (
            ("audio", audio, audio_lens, audio_mask),
            ("visual", visual, visual_lens, visual_mask),
        ):
            if x is None:
                x = torch.zeros(batch, 1, self.mods.network.dims[modality])
                mask = torch.zeros(batch, 1, dtype=torch.bool)
            if lens is None:
                lens = torch.ones(batch)
            x, lens = x.to(self.device).float(), lens.to(self.device)
            frames = (lens * x.shape[1]).round()
            there = length_to_mask(frames, x.shape[1], dtype=torch.bool)
            if mask is not None:
                there = there & mask.to(self.device)
            x = x.masked_fill(~there.unsqueeze(-1), 0.0)
            inputs.append(self.mods[f"{modality}_norm"](x))
            relative.append(lens)
            masks.append(there)
            shares.append(there.sum(1) / frames.clamp(min=1))
        shares = torch.stack(shares, 1)
        logits = self.mods.network(*inputs, *relative, shares > 0, *masks)
        return logits, shares

    def _emotions(self, clips, logits, present):
        """One `Emotion` a clip."""
        task, names = self.hparams.task, self.hparams.task.names
        head_mask = self.mods.network.head_mask(present)
        combined = task.outputs(combine_heads(logits, head_mask))
        combined = task.calibrate(combined).tolist()
        by_head = {h: task.outputs(x).tolist() for h, x in logits.items()}
        emotions = []
        for i, (clip, mask) in enumerate(zip(clips, head_mask.tolist())):
            heads = {
                head: dict(zip(names, outputs[i]))
                for (head, outputs), contributes in zip(by_head.items(), mask)
                if contributes
            }
            emotions.append(
                Emotion(
                    task.decide(combined[i]),
                    dict(zip(names, combined[i])),
                    heads,
                    clip.valid_share,
                    clip.missing,
                    clip.notes,
                    clip.face,
                )
            )
        return emotions

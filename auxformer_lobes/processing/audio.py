"""Reads the audio of any file that FFmpeg decodes.

Lengths and rates are those of the samples: the ones in headers are often wrong.
"""

from math import gcd
from typing import NamedTuple, Optional

import numpy as np
import torch
import torchaudio

from auxformer_lobes.processing.media import (
    Decoder,
    current_reading,
    open_media,
    reading,
)
from auxformer_lobes.utils.errors import MediaError

MIN_RATE, MAX_RATE = 4000, 768000  # Hz
# Above, torchaudio's filters for rates without a large common divisor take
# minutes, and gigabytes.
MAX_PHASES = 5000
# Peak to peak, where full scale is 2, so -60 dB: below the quietest speech and
# above the noise of an empty recording.
SILENCE = 0.002
# Power of the mean of the channels, to that of the channels. Channels without
# anything in common have 1/n; far less means that they cancel.
CANCELLED = 0.01
CANCEL_NOTE = "its channels cancel: only channel {} is used"
PROBED = 300.0  # s of a track that tell whether it is silent, or cancels


class Track(NamedTuple):
    """What is read of the audio of a file.

    Arguments
    ---------
    index : int
        Number of the audio stream, from 0.
    channel : int
        The channel that is read, from 0; None for all of them.
    """

    index: int = 0
    channel: Optional[int] = None


class AudioBlock(NamedTuple):
    """Some samples of a file.

    Arguments
    ---------
    time : float
        When they begin, s; None if the file does not say.
    rate : int
        Sample rate, Hz, the same for all blocks of a file.
    samples : np.ndarray
        `[time]`, float32, full scale from -1 to 1.
    """

    time: Optional[float]
    rate: int
    samples: np.ndarray


def read_audio(path, sample_rate=16000):
    """Reads the audio of a wav or video file, with its channels mixed.

    More than two channels are mixed by their layout as FFmpeg does, two, or
    those without a layout, are averaged. Where that cancels them (the power is
    less than 1 % of that of the channels), the loudest channel is read. Of
    several tracks the default one is read, unless it is silent, see `reading`.

    Arguments
    ---------
    path : str
        A wav or video file, or a segment of one, cut at its samples.
    sample_rate : int
        Sample rate of the returned waveform, Hz.

    Returns
    -------
    torch.Tensor
        Waveform `[time]`, float32, full scale from -1 to 1.

    Raises
    ------
    MediaError
        If the file cannot be decoded, has no audio, a sample rate out of
        4 to 768 kHz, or samples that are not finite, or is longer than the
        `max_seconds` of `reading`.

    Example
    -------
    >>> import soundfile, tempfile
    >>> path = tempfile.mkdtemp() + "/tone.wav"
    >>> soundfile.write(path, torch.rand(8000, 2).numpy(), 8000)
    >>> read_audio(path).shape
    torch.Size([16000])
    """
    found = current_reading()
    path = str(path)
    if path not in found.decoded:
        found.decoded[path] = _decode(path)
    waveform, rate = found.decoded[path]
    found.seconds["audio"] = len(waveform) / rate
    if rate / gcd(rate, sample_rate) > MAX_PHASES:
        return torch.from_numpy(_resample(waveform.numpy(), rate, sample_rate))
    return torchaudio.functional.resample(waveform, rate, sample_rate)


def audio_blocks(path, track=None):
    """Decodes the audio of a file block by block, in order.

    Where the sample rate changes, what follows is resampled to the first one.

    Arguments
    ---------
    path : str
        A wav or video file.
    track : Track
        What is read; by default what `choose_track` finds.

    Yields
    ------
    AudioBlock

    Raises
    ------
    MediaError
        See `read_audio`.
    """
    track = track or choose_track(path)
    yield from _blocks(path, track.index, _Mixer(track.channel))


def choose_track(path, probe_single=True):
    """Chooses the audio track of a file, and whether its channels are mixed.

    The first five minutes decide. A note says which track is read, where there
    are several.

    Arguments
    ---------
    path : str
        A wav or video file.
    probe_single : bool
        Whether to find out if channels cancel where there is one track.

    Returns
    -------
    Track

    Raises
    ------
    MediaError
        If it has no audio, or not the track that `reading` asks for.
    """
    found = current_reading()
    with open_media(path) as container:
        streams = _audio_streams(container, path)
        count = len(streams)
        # The default ones first.
        order = sorted(range(count), key=lambda i: not _is_default(streams[i]))
    asked = found.audio_track
    if asked is not None:
        if not 1 <= asked <= count:
            raise MediaError(
                f"{path}: has no audio track {asked}: it has {count}"
            )
        order = [asked - 1]
    if count == 1 and not probe_single:
        return Track()
    chosen = Track(order[0])
    for index in order:
        mixer = _probe(path, index)
        if not mixer.is_silent():
            chosen = Track(index, mixer.channel_of_cancelled())
            break
    if count > 1:
        found.note("audio", f"audio track {chosen.index + 1} of {count}")
    if chosen.channel is not None:
        found.note("audio", CANCEL_NOTE.format(chosen.channel + 1))
    return chosen


def is_silent(waveform):
    """Whether a waveform has nothing above the noise of a recording.

    Arguments
    ---------
    waveform : torch.Tensor
        `[time]`, full scale from -1 to 1.

    Returns
    -------
    bool

    Example
    -------
    >>> is_silent(torch.full((16000,), 0.3)), is_silent(torch.rand(16000))
    (True, False)
    """
    # By NumPy: preparation asks in threads, where torch would make its own.
    return bool(np.ptp(waveform.numpy()) < SILENCE)


def mono(frame):
    """Averages the channels of a decoded audio frame.

    Arguments
    ---------
    frame : av.AudioFrame
        In any sample format.

    Returns
    -------
    np.ndarray
        Waveform `[time]`, float32, full scale from -1 to 1.
    """
    samples = _channels(frame)
    return _full_scale(samples.mean(0, dtype=np.float32), samples.dtype)


def _decode(path):
    """Decodes an audio stream: `[time]`, and its sample rate."""
    found = current_reading()
    track = choose_track(path, probe_single=False)
    mixer = _Mixer(track.channel)
    waveform, rate = _joined(path, track.index, mixer)
    channel = mixer.channel_of_cancelled()
    if channel is not None:
        waveform, rate = _joined(path, track.index, _Mixer(channel))
        found.note("audio", CANCEL_NOTE.format(channel + 1))
    return torch.from_numpy(waveform), rate


def _joined(path, index, mixer):
    """All blocks, up to the longest file that may be read."""
    samples, length, rate = [], 0, None
    for _, rate, block in _blocks(path, index, mixer):
        samples.append(block)
        length += len(block)
        current_reading().check_length(path, length / rate)
    if not length:
        raise MediaError(f"{path}: its audio stream has no samples")
    return np.concatenate(samples), rate


def _blocks(path, index, mixer):
    """Yields `AudioBlock`s of a stream."""
    with open_media(path) as container:
        stream = _audio_streams(container, path)[index]
        rate = converter = None
        decoder = Decoder(path, container, stream)
        for frame in decoder.frames():
            time, own_rate = frame.time, frame.sample_rate
            _check_rate(path, own_rate)
            rate = rate or own_rate
            samples, time = decoder.segment.cut(mixer(frame), time, own_rate)
            if converter and converter.source != own_rate:
                yield AudioBlock(None, rate, converter.flush())
                converter = None
            if own_rate != rate:
                converter = converter or _Converter(own_rate, rate)
                samples = converter(samples)
            # The sum is not finite if one of them is not; several times faster.
            if not np.isfinite(samples.sum()):
                raise MediaError(f"{path}: has samples that are not finite")
            yield AudioBlock(time, rate, samples)
        if converter:
            yield AudioBlock(None, rate, converter.flush())


def _probe(path, index):
    """What a `_Mixer` measures in the first part of a track."""
    mixer, seconds = _Mixer(), 0.0
    # Notes are made when the track is read.
    with reading(), open_media(path) as container:
        stream = _audio_streams(container, path)[index]
        try:
            for frame in Decoder(path, container, stream).frames():
                seconds += len(mixer(frame)) / max(1, frame.sample_rate)
                if seconds > PROBED:
                    break
        except MediaError:
            return _Mixer()  # silent
    return mixer


def _is_default(stream):
    return bool(stream.disposition & 1)  # AV_DISPOSITION_DEFAULT


def _audio_streams(container, path):
    streams = container.streams.audio
    if not streams:
        raise MediaError(f"{path}: has no audio stream")
    return streams


def _check_rate(path, rate):
    if not MIN_RATE <= rate <= MAX_RATE:
        raise MediaError(
            f"{path}: its sample rate of {rate} Hz is implausible: damaged?"
        )


def _channels(frame):
    """`[channels, time]`, in the format of the file."""
    samples = frame.to_ndarray()
    if frame.format.is_packed:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    return samples


def _full_scale(samples, dtype):
    """Scales numbers of a format to -1 to 1."""
    if dtype == np.uint8:
        return samples / 128 - 1
    if dtype.kind == "i":
        return samples / 2.0 ** (8 * dtype.itemsize - 1)
    return samples


class _Mixer:
    """Mixes the channels of frames, and measures whether that cancels them.

    Arguments
    ---------
    channel : int
        The only one that is used; None for all.
    """

    def __init__(self, channel=None):
        self.channel = channel
        self.resampler = None  # and the format, layout and rate that it takes
        self.mixed = self.peak_to_peak = 0.0
        self.powers = np.zeros(0)  # of the channels

    def __call__(self, frame):
        """Waveform `[time]`, float32."""
        samples = _channels(frame)
        samples = _full_scale(samples.astype(np.float32), samples.dtype)
        if self.channel is not None:
            return samples[min(self.channel, len(samples) - 1)]
        # FFmpeg calls a layout that it does not know "6 channels": they may be
        # those of an array of microphones.
        if len(samples) <= 2 or frame.layout.name.endswith(" channels"):
            mixed = samples.mean(0)
        else:
            mixed = self._by_layout(frame)
        self._measure(samples, mixed)
        return mixed

    def is_silent(self):
        """Whether no channel has more than the noise of a recording."""
        return self.peak_to_peak < SILENCE

    def channel_of_cancelled(self):
        """The loudest channel if mixing cancels them, else None."""
        if self.is_silent() or len(self.powers) < 2:
            return None
        if self.mixed >= CANCELLED * self.powers.mean():
            return None
        return int(self.powers.argmax())

    def _measure(self, samples, mixed):
        if not samples.size:
            return
        if len(samples) != len(self.powers):  # at first, or a change
            self.powers, self.mixed = np.zeros(len(samples)), 0.0
        # Until it is no longer silent.
        if self.peak_to_peak < SILENCE:
            self.peak_to_peak = max(self.peak_to_peak, np.ptp(samples, 1).max())
        if len(samples) > 1:
            self.powers += [np.dot(channel, channel) for channel in samples]
            self.mixed += np.dot(mixed, mixed)

    def _by_layout(self, frame):
        import av

        takes = frame.format.name, frame.layout.name, frame.sample_rate
        if self.resampler is None or self.resampler[0] != takes:
            # To integers, which FFmpeg mixes so that they cannot overflow.
            self.resampler = takes, av.AudioResampler("s32", "mono")
        frame.pts = None
        mixed = [mono(part) for part in self.resampler[1].resample(frame)]
        return np.concatenate([np.zeros(0, np.float32), *mixed])


class _Converter:
    """Resamples a stream by FFmpeg, at rates of any ratio.

    Arguments
    ---------
    source : int
        Hz.
    target : int
        Hz.
    """

    def __init__(self, source, target):
        import av

        self.source = source
        self.resampler = av.AudioResampler("flt", "mono", target)

    def __call__(self, samples):
        """Resamples a part `[time]`."""
        import av

        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples[None], np.float32), "flt", "mono"
        )
        frame.sample_rate = self.source
        return self._samples(frame)

    def flush(self):
        """What the filter holds back."""
        return self._samples(None)

    def _samples(self, frame):
        parts = [x.to_ndarray()[0] for x in self.resampler.resample(frame)]
        return np.concatenate([np.zeros(0, np.float32), *parts])


def _resample(waveform, source, target):
    """Resamples a waveform, a second at a time."""
    converter = _Converter(source, target)
    parts = [
        converter(waveform[at : at + source])
        for at in range(0, len(waveform), source)
    ]
    return np.concatenate([*parts, converter.flush()])

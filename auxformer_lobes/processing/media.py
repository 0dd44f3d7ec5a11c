"""Opens media files and decodes their streams, as far as they can be decoded.

One packet that is damaged does not cost a stream: it is skipped, and the share
that is lost is counted. FFmpeg and PyAV may raise exceptions of any type on a
damaged file; all become a `MediaError` of that file.
"""

import os
import stat
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Optional

from speechbrain.utils.logger import get_logger

from auxformer_lobes.processing.segments import StreamSegment, split_segment
from auxformer_lobes.utils.errors import MediaError
from auxformer_lobes.utils.files import LFS_POINTER

logger = get_logger(__name__)

# Share of a stream that may be lost. With more, what is left is likely to be
# damaged too, though it can be decoded.
MAX_LOST = 0.25
MIN_SECONDS = 0.3  # of audio, or from the first to the last frame of video
# Of the longer modality, by which the other one must not fall short of it.
MIN_SHARE = 0.5
# Streams that show no speaker: the image of a cover, and of chapters.
NO_VIDEO = 0x400 | 0x800  # AV_DISPOSITION_ATTACHED_PIC, TIMED_THUMBNAILS
# Demuxing begins anew as often, after an error that is not of the file.
MAX_RESTARTS = 8
MAX_FLUSHES = 64  # errors at the end: one for each thread of a decoder


class TooLongError(MediaError):
    """A file that is longer than what is read at once."""


@dataclass
class Reading:
    """How files are read within `reading`, and what was noticed.

    Arguments
    ---------
    audio_track : int
        Which audio stream is read, from 1; by default the default one, or else
        the first that is not silent.
    max_seconds : float
        Length beyond which a file is not read, s; None for no limit.
    notes : dict of str
        Modality → what is peculiar about the file.
    seconds : dict of float
        Modality → length of what was read, s; of video, from the first to the
        last frame.
    decoded : dict
        Path → waveforms that `read_audio` has decoded.
    """

    audio_track: Optional[int] = None
    max_seconds: Optional[float] = None
    notes: dict = field(default_factory=dict)
    seconds: dict = field(default_factory=dict)
    decoded: dict = field(default_factory=dict)

    def note(self, modality, text):
        """Adds a note, once.

        Arguments
        ---------
        modality : str
            "audio" or "visual".
        text : str
            What is peculiar.
        """
        before = self.notes.get(modality)
        if before is None:
            self.notes[modality] = text
        elif text not in before:
            self.notes[modality] = f"{before}; {text}"

    def check_length(self, path, seconds):
        """Ends the reading of a file that is too long.

        Arguments
        ---------
        path : str
            The file.
        seconds : float
            What was read of it so far, s.

        Raises
        ------
        TooLongError
            If that is more than `max_seconds`.
        """
        if self.max_seconds is not None and seconds > self.max_seconds:
            raise TooLongError(
                f"{path}: lasts longer than {self.max_seconds:g} s: use "
                "`auxformer timeline` for it"
            )


_current = ContextVar("reading", default=None)


def current_reading():
    """The `Reading` of the innermost `reading`; outside of it a new one.

    Returns
    -------
    Reading
    """
    found = _current.get()
    return Reading() if found is None else found


@contextmanager
def reading(audio_track=None, max_seconds=None):
    """Within it, one file is read with these options.

    Its audio is decoded once, at whatever sample rates it is read.

    Arguments
    ---------
    audio_track : int
        See `Reading`.
    max_seconds : float
        See `Reading`.

    Yields
    ------
    Reading
        With what was noticed.

    Example
    -------
    >>> import soundfile, tempfile, torch
    >>> from auxformer_lobes.processing.audio import read_audio
    >>> path = tempfile.mkdtemp() + "/tone.wav"
    >>> soundfile.write(path, torch.rand(16000).numpy(), 16000)
    >>> with reading() as found:
    ...     print(len(read_audio(path, 16000)), len(read_audio(path, 8000)))
    16000 8000
    >>> found.seconds
    {'audio': 1.0}
    """
    token = _current.set(Reading(audio_track, max_seconds))
    try:
        yield _current.get()
    finally:
        _current.reset(token)


def check_file(path):
    """Checks that a file can be read and is not a placeholder.

    Arguments
    ---------
    path : str
        Any file, or a segment of one.

    Raises
    ------
    MediaError
        If it is missing, not readable, no regular file, empty or a Git LFS
        pointer.

    Example
    -------
    >>> check_file("nowhere.flv")
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.MediaError: nowhere.flv: No such file or directory
    """
    try:
        whole = split_segment(path).file
        # Before it is opened: a named pipe would wait for a writer for ever.
        mode = os.stat(whole).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise MediaError(f"{path}: a pipe, socket or device, not a file")
        with open(whole, "rb") as file:
            start = file.read(len(LFS_POINTER))
    except OSError as error:
        raise MediaError(f"{path}: {error.strerror}")
    except ValueError as error:  # a null character in the name
        raise MediaError(f"{path}: {error}")
    if not start:
        raise MediaError(f"{path}: empty file")
    if start == LFS_POINTER:
        raise MediaError(
            f"{path}: a Git LFS pointer in place of the file: run `git lfs "
            "install` and `git lfs pull` in the corpus folder"
        )


@contextmanager
def open_media(path):
    """Opens a media file; an error of FFmpeg becomes a `MediaError`.

    Arguments
    ---------
    path : str
        A wav or video file, or a segment of one; all of the file is open.

    Yields
    ------
    container : av.container.InputContainer
        The open file.

    Raises
    ------
    MediaError
        If the file cannot be decoded.
    """
    import av

    check_file(path)
    try:
        # Tags of old files may be in any encoding; they are not used.
        file = split_segment(path).file
        container = av.open(file, metadata_errors="ignore")
    except Exception as error:  # of any type, see above
        raise _undecodable(path, error) from error
    with container:
        try:
            yield container
        except av.FFmpegError as error:
            raise _undecodable(path, error) from error


def _undecodable(path, error):
    reason = getattr(error, "strerror", None) or error or type(error).__name__
    return MediaError(f"{path}: cannot be decoded: {reason}")


def video_stream(container, path):
    """The video stream of a file; the default one, if there are several.

    Arguments
    ---------
    container : av.container.InputContainer
        The open file.
    path : str
        Its name.

    Returns
    -------
    av.VideoStream

    Raises
    ------
    MediaError
        If it has none, or only a cover image.
    """
    videos = video_streams(container)
    if not videos:
        only = " (only a cover image)" if container.streams.video else ""
        raise MediaError(f"{path}: has no video stream{only}")
    return min(videos, key=lambda s: not s.disposition & 1)


def video_streams(container):
    """The video streams of a file, without cover images.

    Arguments
    ---------
    container : av.container.InputContainer
        The open file.

    Returns
    -------
    list of av.VideoStream
    """
    streams = container.streams.video
    return [each for each in streams if not each.disposition & NO_VIDEO]


class Decoder:
    """Decodes a stream, or a segment of it, and counts what is lost of it.

    Arguments
    ---------
    path : str
        The file, or a segment of it.
    container : av.container.InputContainer
        The open file.
    stream : av.stream.Stream
        One of its streams.

    Attributes
    ----------
    segment : StreamSegment
        What is decoded of it.
    lost : float
        Share of the packets that could not be decoded; after an error of the
        container, the rest of the length that it states counts too.
    """

    def __init__(self, path, container, stream):
        self.path = path
        self.container = container
        self.stream = stream
        self.segment = StreamSegment(path, container, stream)
        self.packets = self.failed = 0
        self.rest = 0.0  # share of the stream that could not be demuxed
        self.error = None  # the first

    def demux(self):
        """Yields the packets; ends at an error of the container.

        Yields
        ------
        av.Packet
            Of a segment, also those before it that its decoding needs. The
            last is empty, and flushes the decoder.

        Raises
        ------
        MediaError
            If a segment lies after the end of the file.
        """
        start = last = None
        for _ in range(MAX_RESTARTS):
            try:
                for packet in self.segment.packets():
                    if packet.pts is not None:
                        time = float(packet.pts * self.stream.time_base)
                        start = time if start is None else start
                        last = time
                    yield packet
                return
            except IndexError:
                # Of PyAV, not of the file: a stream appeared late. It goes on
                # from where it was.
                continue
            except MediaError:  # after the end of the file
                raise
            except Exception as error:  # of any type, see above
                self.error = self.error or error
                length = self.segment.seconds
                read = 0.0 if last is None else last - start
                if length > 0:
                    self.rest = max(0.0, 1 - read / length)
                return

    def frames(self):
        """Yields the frames that can be decoded.

        Yields
        ------
        av.AudioFrame or av.VideoFrame

        Raises
        ------
        MediaError
            At the end, if more than `MAX_LOST` was lost.
        """
        flushed = False
        for packet in self.demux():
            flushed = flushed or not packet.size
            yield from filter(self.segment.has, self.decode(packet))
        if not flushed:
            yield from filter(self.segment.has, self._flush())
        self.check()

    @property
    def lost(self):
        """See the attributes."""
        failed = min(1.0, self.failed / max(1, self.packets))
        return 1 - (1 - failed) * (1 - self.rest)

    def decode(self, packet):
        """Decodes a packet; an error is counted.

        Arguments
        ---------
        packet : av.Packet
            The next one.

        Returns
        -------
        list of av.frame.Frame
            None of what cannot be decoded.
        """
        if not packet.size:
            return self._flush()
        # A decoder that begins in the middle may fail at first.
        is_counted = not self.segment.is_before(packet)
        self.packets += is_counted
        try:
            return packet.decode()
        except Exception as error:  # of any type, see above
            self.failed += is_counted
            self.error = self.error or error
            return []

    def _flush(self):
        """Frames that the decoder holds back; errors may come before them."""
        for _ in range(MAX_FLUSHES):
            try:
                frames = self.stream.codec_context.decode(None)
                for frame in frames:
                    frame.time_base = self.stream.time_base
                return frames
            except EOFError:
                return []
            except Exception as error:  # of any type, see above
                self.failed += 1
                self.error = self.error or error
        return []

    def check(self):
        """Notes what was lost; outside of `reading`, logs it.

        Raises
        ------
        MediaError
            If it is more than `MAX_LOST`.
        """
        lost = self.lost
        if not lost:
            return
        if lost > MAX_LOST:
            if lost == 1:
                raise _undecodable(self.path, self.error) from self.error
            raise MediaError(
                f"{self.path}: {_percent(lost)} of it cannot be decoded"
            ) from self.error
        kind = "audio" if self.stream.type == "audio" else "video"
        text = f"{_percent(lost)} of it could not be decoded"
        if _current.get() is None:
            logger.warning(f"{self.path}: {kind}: {text}")
        else:
            modality = "audio" if kind == "audio" else "visual"
            _current.get().note(modality, text)


def _percent(share):
    return f"{100 * share:.0f} %" if share >= 0.01 else "less than 1 %"


def too_short(seconds, other=None):
    """Why a modality is too short to be used, by itself or beside the other.

    Arguments
    ---------
    seconds : float
        Its length, s.
    other : float
        That of the other modality; None if that is missing.

    Returns
    -------
    str or None
        The reason, None if it is long enough.

    Example
    -------
    >>> too_short(0.02)
    'lasts 0.02 s: too short, less than 0.3 s'
    >>> too_short(1.2, 4.0)
    'lasts 1.2 s, but the other modality 4.0 s'
    >>> too_short(1.2, 1.3)
    """
    # Rounding errors are not the file's fault.
    if seconds < MIN_SECONDS - 1e-6:
        return f"lasts {seconds:.2g} s: too short, less than {MIN_SECONDS} s"
    if other is not None and seconds < MIN_SHARE * other:
        return f"lasts {seconds:.1f} s, but the other modality {other:.1f} s"
    return None

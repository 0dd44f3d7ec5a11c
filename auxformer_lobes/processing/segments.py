"""Reads segments of long files, without decoding the files from the start.

The names of segments are media fragments, see `split_segment`. Times count from
the beginning of the file, as players show them.
"""

import math
import os
from contextlib import suppress
from functools import lru_cache

from auxformer_lobes.utils.errors import MediaError
from auxformer_lobes.utils.segments import Segment, join_segment, split_segment

__all__ = [
    "Segment",
    "StreamSegment",
    "join_segment",
    "size_of",
    "split_segment",
]

# Containers that keep, or imply, the time of each packet. In others, such as
# MP3 and AAC, FFmpeg guesses it after seeking, from the bit rate.
EXACT = {"mov", "matroska", "flv", "avi", "ogg", "flac", "wav", "w64"}
# Before a segment, s: audio decoders need some packets to give the same samples.
PREROLL = 1.0
MAX_REORDER = 1.0  # s by which images may be decoded before they are shown
MAX_EXCESS = 0.5  # s by which a segment may end after its file
ROUNDING = 1e-6  # s
SAME_TIME = 0.05  # s; less is imprecision of the timestamps


class StreamSegment:
    """The part of a stream that a segment names; of a whole file, all of it.

    Arguments
    ---------
    path : str
        A file, or a segment of one.
    container : av.container.InputContainer
        The open file.
    stream : av.stream.Stream
        One of its streams.

    Raises
    ------
    MediaError
        If the segment ends before it begins.
    """

    def __init__(self, path, container, stream):
        self.path, self.container, self.stream = path, container, stream
        file, start, end = self.segment = split_segment(path)
        if start is not None and end is not None and start >= end:
            raise MediaError(
                f"{path}: ends at {end:g} s, but begins at {start:g} s"
            )
        # Negative: what encoders add in front, and players leave out.
        origin = max(0, container.start_time or 0) / 1e6
        self.origin = origin
        self.is_whole = self.segment.is_whole
        self.start = -math.inf if self.is_whole else origin + (start or 0)
        self.end = math.inf if end is None else origin + end
        self.has_sought = False
        self.reached = origin  # end of the last packet, s
        self.next = None  # time of the sample after the last one, s

    @property
    def seconds(self):
        """Its length as far as the header of the file is right, s."""
        length = (self.container.duration or 0) / 1e6
        if self.is_whole:
            return length
        return min(self.end, self.origin + length) - self.start

    def packets(self):
        """Demuxes the stream, from a little before the segment to its end.

        Called again after an error, it goes on from where it was.

        Yields
        ------
        av.Packet
            The last is empty, and flushes the decoder.

        Raises
        ------
        MediaError
            If the file ends more than `MAX_EXCESS` before the segment.
        """
        import av

        if self.is_whole:
            yield from self.container.demux(self.stream)
            return
        for packet in self._sought():
            if packet.size and self._is_after(packet):
                yield av.Packet()
                return
            # Video is decoded from the last key frame on.
            if self.stream.type == "video" or not self.is_before(
                packet, PREROLL
            ):
                yield packet
        self._check_end()

    def is_before(self, packet, margin=0.0):
        """Whether a packet begins before the segment.

        Arguments
        ---------
        packet : av.Packet
            A packet of the stream.
        margin : float
            By how much at least, s.

        Returns
        -------
        bool
            False for the empty packet at the end.
        """
        time = self._time_of(packet)
        return time is not None and time < self.start - margin

    def _sought(self):
        """All packets; the first time, from before the start on."""
        import av

        packets = self.container.demux(self.stream)
        target = self.start - PREROLL
        names = {*self.container.format.name.split(",")}
        if self.has_sought or target <= self.origin or not names & EXACT:
            yield from packets
            return
        self.has_sought = True
        try:
            offset = int(target / self.stream.time_base)
            self.container.seek(offset, stream=self.stream)
            first = next(packets)
            if first.is_keyframe and self.is_before(first, PREROLL / 2):
                yield first
                yield from packets
                return
        except av.FFmpegError:  # such as after the end
            pass
        self.container.seek(0)
        yield from self.container.demux(self.stream)

    def _time_of(self, packet):
        pts = packet.dts if packet.pts is None else packet.pts
        return None if pts is None else float(pts * self.stream.time_base)

    def _is_after(self, packet):
        """Whether neither a packet nor those that follow belong to it."""
        time = self._time_of(packet)
        if time is not None:
            length = float((packet.duration or 0) * self.stream.time_base)
            self.reached = max(self.reached, time + length)
        # Packets of video come in the order of decoding, of which Matroska
        # does not keep the times: FFmpeg guesses them.
        margin = MAX_REORDER if self.stream.type == "video" else 0.0
        return time is not None and time >= self.end + margin

    def has(self, part):
        """Whether a frame, or some of an audio frame, belongs to it.

        Arguments
        ---------
        part : av.Packet, av.VideoFrame or av.AudioFrame
            A packet that has a time, or a decoded frame.

        Returns
        -------
        bool
            True for a frame without a time.
        """
        if self.is_whole or part.pts is None:
            return True
        time = float(part.pts * self.stream.time_base)
        if self.stream.type == "audio":
            length = part.samples / max(1, part.sample_rate)
            return time + length > self.start - SAME_TIME and time < self.end
        return self.start - ROUNDING <= time < self.end - ROUNDING

    def cut(self, samples, time, rate):
        """Cuts the samples of a frame to those that belong to it.

        Arguments
        ---------
        samples : np.ndarray
            `[time]`.
        time : float
            Of the first sample, s, as in the stream; None if it is not known.
        rate : int
            Hz.

        Returns
        -------
        samples : np.ndarray
            `[time]`, perhaps none.
        time : float
            Of the first of them.
        """
        if self.is_whole:
            return samples, time
        if self.next is None:
            self.next = self.start if time is None else time
        # Samples are counted: many containers round times to ms.
        if time is None or abs(time - self.next) < SAME_TIME:
            time = self.next
        self.next = time + len(samples) / rate
        first = max(0, round((self.start - time) * rate))
        # Of the whole frame, if the segment is longer.
        last = round(min(self.end - time, len(samples) / rate) * rate)
        return samples[first : max(0, last)], time + first / rate

    def _check_end(self):
        # The other streams may be longer.
        if self._lacks(self.reached):
            length = self._length_of_file()
            if self._lacks(self.origin + length):
                raise MediaError(
                    f"{self.path}: after the end of the file, which lasts "
                    f"{length:.2f} s"
                )

    def _lacks(self, reached):
        """Whether a stream ends too early for it, at a time in s."""
        is_excess = self.end < math.inf and self.end - reached > MAX_EXCESS
        return is_excess or reached <= self.start

    def _length_of_file(self):
        """By the packets of all streams, s."""
        import av

        last = self.reached
        with av.open(self.segment.file, metadata_errors="ignore") as container:
            with suppress(av.FFmpegError):
                for packet in container.demux():
                    if packet.pts is not None:
                        end = packet.pts + (packet.duration or 0)
                        last = max(last, float(end * packet.time_base))
        return last - self.origin


def size_of(path):
    """Size of a file; of a segment, its share of it.

    Arguments
    ---------
    path : str
        A file, or a segment of one.

    Returns
    -------
    float
        Bytes; 0 if there is no such file.
    """
    try:
        file, start, end = split_segment(path)
        size = os.path.getsize(file)
    except (OSError, TypeError):  # precomputed features need no file
        return 0
    length = 0.0
    if start is not None or end is not None:
        length = _stated_length(file)
    if not length:
        return size
    return size * (min(length, end or length) - (start or 0)) / length


@lru_cache(maxsize=1000)
def _stated_length(file):
    """Length of a file by its header, s; 0 if that does not say."""
    import av

    with suppress(av.FFmpegError), av.open(file) as container:
        return (container.duration or 0) / 1e6
    return 0.0

"""Cuts long videos at key frames, without re-encoding."""

import shlex
from pathlib import Path

import av
import numpy as np
from speechbrain.utils.logger import get_logger

from auxformer_lobes.processing.media import Decoder, open_media, video_stream
from auxformer_lobes.utils.errors import MediaError
from auxformer_lobes.utils.temporary import full_disk_errors
from auxformer_lobes.utils.text import printable

logger = get_logger(__name__)

SECTION = 20.0  # s of video that are read at a time, at least
LONGEST_SECTION = 60.0  # s


class NotCut(str):
    """Why frames are in no section."""


def sections_of(path, folder):
    """Cuts a video into sections that can be decoded by themselves.

    What is further than `LONGEST_SECTION` from the key frame before it could
    only be decoded with all in between, and is left out, with a warning.

    Arguments
    ---------
    path : str or Path
        A video file.
    folder : str
        Where the file of a section is; the next one replaces it.

    Yields
    ------
    file : str or NotCut
        The section, or why there is none.
    times : np.ndarray
        Times of its frames from the start of the file, s, in order.

    Raises
    ------
    MediaError
        If the file has no video stream, or none that can be cut.
    UserError
        If there is no room for a section.
    """
    with open_media(path) as container:
        stream = video_stream(container, path)
        part = None
        warned = False
        for time, packet in _packets(container, stream, path):
            if part and part.ends_before(time, packet):
                yield part.close()
                part = None if packet.is_keyframe else _LeftOut()
            if isinstance(part, _LeftOut) and not warned:
                warned = True
                _warn(path, time)
            if part is None:
                part = _Section(stream, folder)
            part.add(time, packet)
        if part is None:
            raise MediaError(f"{path}: its video stream has no frames")
        yield part.close()


def _packets(container, stream, path):
    """Yields time (s from the start of the file) and packet."""
    start = (container.start_time or 0) / av.time_base
    last = None
    for packet in Decoder(path, container, stream).demux():
        if packet.size == 0:
            continue
        if packet.pts is None:  # some AVI files have this only
            packet.pts = packet.dts
        if packet.pts is None:
            raise MediaError(f"{path}: its frames have no times")
        # In MPEG-1 and 2 they are guessed, and may decrease.
        if packet.dts is not None:
            if last is not None:
                packet.dts = min(max(packet.dts, last + 1), packet.pts)
            last = packet.dts
        yield float(packet.pts * stream.time_base) - start, packet


def _warn(path, time):
    target = Path(path).with_name(f"{Path(path).stem}_key_frames.mkv")
    # FFmpeg takes what begins with a hyphen for an option.
    target = f"./{target}" if str(target).startswith("-") else str(target)
    logger.warning(
        printable(
            f"{path}: has no key frame for {LONGEST_SECTION:.0f} s, so that "
            f"it is not cut from {time:.1f} s to the next one: write key "
            f"frames with `ffmpeg -n -i {shlex.quote(str(path))} -g 250 "
            f"{shlex.quote(target)}`"
        )
    )


class _Section:
    """A file of packets, from a key frame on."""

    def __init__(self, stream, folder):
        self.folder, self.times = folder, []
        # Matroska keeps the rotation of phones; NUT takes old codecs too.
        for suffix in ("mkv", "nut"):
            self.file = f"{folder}/section.{suffix}"
            with full_disk_errors(folder):
                self.container = av.open(self.file, "w")
            try:
                self.stream = self.container.add_stream_from_template(stream)
                return
            except ValueError:
                continue
        name = stream.codec_context.name
        raise MediaError(f"{name} video cannot be cut")

    def ends_before(self, time, packet):
        """Whether a packet belongs to the next section."""
        length = time - self.times[0]
        is_long = length >= SECTION and packet.is_keyframe
        return is_long or length > LONGEST_SECTION

    def add(self, time, packet):
        """Writes a packet."""
        self.times.append(time)
        packet.stream = self.stream
        with full_disk_errors(self.folder):
            self.container.mux(packet)

    def close(self):
        """The file, and the times of its frames."""
        with full_disk_errors(self.folder):
            self.container.close()
        return self.file, np.sort(self.times)


class _LeftOut:
    """Packets whose key frame is too far away."""

    def __init__(self):
        self.times = []

    def ends_before(self, time, packet):
        """Whether a packet begins a section, or another such part."""
        is_long = bool(self.times) and time - self.times[0] >= SECTION
        return packet.is_keyframe or is_long

    def add(self, time, packet):
        """Remembers its time."""
        self.times.append(time)

    def close(self):
        """The reason, and the times of the frames."""
        reason = f"no key frame for {LONGEST_SECTION:.0f} s before it"
        return NotCut(reason), np.sort(self.times)

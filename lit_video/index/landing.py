"""From a start in the index to a container's packets, alike where starts are tried and where they are used."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from lit_video.index.keyframes import Keyframe, checks_of
from lit_video.index.truth import OWN, Start
from lit_video.media.container import Number, Seek, demux, seek

# Packets behind the place where seeking ends among which that of a start is looked for: a program stream packs many
# small pictures together, and only the first of them has a place.
MOST_BEHIND = 64
# Ways to a keyframe: by its times, by its place, by that of the packet before it and of the one before that.
NUM_WAYS = 5


def packets_at(container: InputContainer, stream: VideoStream, start: Start) -> Iterator[Packet | None] | None:
    """Bring an open container to a start; return the packets from its own on, or None where that is not found there.

    Where the first good picture is that packet's own, it is handed the frame index, which its picture will carry
    (`number_of`): whatever comes out before that does not count.

    Raises:
        av.FFmpegError: The container cannot be brought there.
    """
    seek(container, stream, start.how, start.target)
    packets = demux(container, stream)
    for packet in islice(packets, MOST_BEHIND if start.drop == OWN else 1):
        if packet is None or not packet.size:
            return None
        if start.check in checks_of(packet) and (packet.is_keyframe or start.drop != OWN):
            if start.drop == OWN:
                packet.opaque = Number(start.frame)
            return chain([packet], packets)
    return None


def start_at(keyframe: Keyframe, frame: int, way: int, opens: bool = False) -> Start | None:
    """Return a keyframe as a start that is reached on one of the ways, or None where it does not have that way.

    Args:
        keyframe: What its packet says.
        frame: Frame index of its picture.
        way: One of `NUM_WAYS`.
        opens: Open the file anew.
    """
    targets = keyframe.pts, keyframe.dts, keyframe.byte, *keyframe.before, None, None
    how, target = Seek.TIME if way < 2 else Seek.BYTE, targets[way]
    if target is None or keyframe.check is None:
        return None
    return Start(frame, how.anew if opens else how, target, OWN, keyframe.check)

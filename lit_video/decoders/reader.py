"""GopRead -> the very pictures it wants, from files that are kept open."""

from __future__ import annotations

import errno
from collections import OrderedDict, defaultdict
from collections.abc import Iterator

from av.video.frame import VideoFrame

from lit_video.decoders.codecs import OpenCodec, SharedCodecs
from lit_video.decoders.one_file import OpenVideo, check_unchanged
from lit_video.decoders.refusals import reasons, without
from lit_video.index import VideoIndex
from lit_video.media.container import UNREADABLE, reason_of
from lit_video.planning.planner import GopRead
from lit_video.support.errors import DecodeError, MachineError

# Not the file's fault, and no reason to leave its frames out: too many open files, too little memory.
OUT_OF_HANDLES = frozenset({errno.EMFILE, errno.ENFILE})
OF_THE_MACHINE = OUT_OF_HANDLES | {errno.ENOMEM}


class OpenVideos:
    """Reads pictures; keeps the files that were used last open, `max_open` at most.

    Args:
        index: The videos.
        max_open: Files that stay open at most.
        skip_unwanted: Let the decoder skip pictures that nobody refers to and this read does not want, where safe.
        open_codec: Makes the codec of a file that was opened, from its stream and video id; by default on the CPU.
        max_decoders: Different decoders that the open files have at most; by default no fewer than files.
        trust_flags: Refuse pictures of which only the decoder says that they are damaged.

    Attributes:
        num_opened: Containers opened so far.
    """

    def __init__(
        self,
        index: VideoIndex,
        max_open: int,
        skip_unwanted: bool = False,
        open_codec: OpenCodec | None = None,
        max_decoders: int | None = None,
        trust_flags: bool = True,
    ) -> None:
        self._trust_flags = trust_flags
        self._index, self._max_open, self._skip_unwanted = index, max_open, skip_unwanted
        self._max_decoders = max_decoders or max_open
        self._open_codec = open_codec or SharedCodecs(index)
        self._videos: OrderedDict[int, OpenVideo] = OrderedDict()
        self._lost: defaultdict[int, set[int]] = defaultdict(set)  # frames of starts that did not work, by video
        self.num_opened = 0

    def read(self, read: GopRead) -> Iterator[tuple[int, VideoFrame]]:
        """Yield frame index and picture for each wanted frame, in the order in which the decoder gives them.

        Raises:
            DecodeError: One did not come.
            RemoteError: A store cannot be reached, or lets nobody in.
        """
        missing, cause = set(read.frame_indices), ""
        damaged = reasons(self._index, read, self._trust_flags)
        try:
            if len(damaged) < len(missing):
                with self._index.holding(read.video_id, read.start):
                    video = self._get(read.video_id)
                    for frame_index, picture in video.pictures(without(read, damaged)):
                        missing.discard(frame_index)
                        yield frame_index, picture
                    cause = video.cause
            cause = next(iter(damaged.values()), cause)
        except UNREADABLE as error:
            self._forget(read.video_id)
            if getattr(error, "errno", None) in OF_THE_MACHINE:
                raise MachineError(
                    f"{self._index.path(read.video_id)}: {reason_of(error).lower()}.\n"
                    "Lower data.decoder.max_open or data.threads, or raise the limit: ulimit -n, ulimit -v"
                ) from error
            cause = reason_of(error)
        try:
            check_unchanged(self._index, read.video_id)
        except OSError as error:  # before or while it was read: what came may be of either
            self._forget(read.video_id)
            missing, cause = set(read.frame_indices), reason_of(error)
        if missing:
            path, length = self._index.path(read.video_id), self._index.length(read.video_id)
            raise DecodeError(path, sorted(missing), length, cause)

    def decoder_of(self, video_id: int) -> object:
        """Return what decodes a file that is open: a codec's `decoder`."""
        return self._videos[video_id].decoder

    def close(self) -> None:
        """Close all files."""
        while self._videos:
            self._forget(next(iter(self._videos)))

    def _get(self, video_id: int) -> OpenVideo:
        """Return a video's open file. One that was open already may be of an old file: that is seen after the read."""
        if video_id not in self._videos:
            self._forget_down_to(self._max_open - 1)
            self._videos[video_id] = self._open(video_id)
            while len({id(video.decoder) for video in self._videos.values()}) > self._max_decoders:
                self._forget(next(iter(self._videos)))
        self._videos.move_to_end(video_id)
        video = self._videos[video_id]
        video.leave_spoilt_decoder()
        self.num_opened += video.count_opened()
        return video

    def _open(self, video_id: int) -> OpenVideo:
        """Open a file; where handles run out, since others open files too, keep half as many from now on."""
        try:
            return OpenVideo(
                self._index, video_id, self._skip_unwanted, self._open_codec, self._trust_flags, self._lost[video_id]
            )
        except OSError as error:
            if error.errno not in OUT_OF_HANDLES or not self._videos:
                raise
        self._max_open = max(1, len(self._videos) // 2)
        self._forget_down_to(self._max_open - 1)
        return self._open(video_id)

    def _forget_down_to(self, number: int) -> None:
        while len(self._videos) > number:
            self._forget(next(iter(self._videos)))

    def _forget(self, video_id: int) -> None:
        video = self._videos.pop(video_id, None)
        if video is not None:
            video.close()

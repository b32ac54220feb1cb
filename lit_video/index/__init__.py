r"""Which frames exist: each file is scanned once, packets only, and the result is kept on disk.

::

    files -> build -> scan -> headers, bitstream, references, damage: what packets show
               |        \---> doubt, truth: what decoding shows, where packets do not
               v
    store <-> columns -> table: VideoIndex

`labels` says what videos are of, where one wants to know, `copies` which of them are the same file. Is given paths;
hands on `VideoIndex`: frame ids, keyframes, times, damage. May not know who draws which frame.
"""

from lit_video.index.table import VideoIndex

__all__ = ["VideoIndex"]

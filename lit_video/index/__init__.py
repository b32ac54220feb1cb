"""Which frames exist: each file is scanned once, packets only, and the result is kept on disk.

::

    files -> scan -> table <-> store
                       ^
    build ------ puts these together, reading only what is new or changed

`labels` says what videos are of, where one wants to know.
"""

from lit_video.index.table import VideoIndex

__all__ = ["VideoIndex"]

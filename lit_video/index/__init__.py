r"""Which frames exist: each file is scanned once, packets only, and the result is kept on disk.

::

    files -> build -> scan -> headers, bitstream, references, damage: what packets show
               |        \---> doubt, truth: what decoding shows, where packets do not
               v
    store <-> columns -> table: VideoIndex

    table -> selection, anchors, clips -> population: Population, the samples of a run

`labels` says what videos are of, where one wants to know. Is given paths; hands on `VideoIndex`: frame ids, keyframes,
times, damage; and `Population`: which of its frames, or which clips of them, exist for a run. May not know who draws
which.
"""

from lit_video.index.population import Population, Samples, as_population
from lit_video.index.table import VideoIndex

__all__ = ["Population", "Samples", "VideoIndex", "as_population"]

r"""Which frames exist: each file is scanned once, packets only, and the result is kept on disk.

::

    files -> build -> crew -> scan -> headers, bitstream, references, damage: what packets show
               |       |        \---> doubt, truth: what decoding shows, where packets do not
               |       |-> digest, entries, lines, records: what is known of a file's bytes, kept as soon as it is
               \-> scanning: the same by an engine's workers
               v
    store <-> columns -> table: VideoIndex; changes: whether a file is still the one that was indexed

Which of them exist for a run, frames or clips, split by split::

    table -> selection, anchors, clips -> population: Population -> stages: one for training, one for validation, ...

What lists say of videos is found by their paths, where one wants to know::

    tabular <- delimited
       v
    listing -> values -> labels: a class or number for each video; frame_labels: for each frame
                 |-----> intervals: stretches of videos, with theirs
    roots, told, drawing -> splits: who is for training, validation and test

`copies` says which videos are the same file, `proxied` reads small copies in the place of originals.
Is given paths; hands on `VideoIndex`: frame ids, keyframes, times, damage; and `Population`: samples in [0, N). May not
know who draws which.
"""

from lit_video.index.population import Population, Samples, as_population
from lit_video.index.table import VideoIndex

__all__ = ["Population", "Samples", "VideoIndex", "as_population"]

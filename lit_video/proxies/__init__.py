"""A data set once more, small: each video as a copy from which any frame is had at once.

::

    settings     how proxies are made: size, quality, keyframes
    transcode    one video -> its proxy, frame by frame as the decoder hands them out, at the same times
    make         all videos, by an engine's workers; what is there already is not made again

What a folder of proxies holds is noted by `index.proxied`, by which a run reads them instead of the originals.
Is given an index; hands on files. May not know who reads them.
"""

"""In which order frames are read so that each group of pictures is decoded once, and which rank reads what.

Is given the index and a sampler's order; hands on `GopRead`: a keyframe, the frames wanted behind it, and the places
in memory that they are for. Pure: may not know files, threads or pixels.
"""

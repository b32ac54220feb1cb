"""Frames that were decoded once: small in memory, and kept on disk.

Modules from the frame to the disk::

    packing      a frame <-> bytes: raw, lossless or JPEG
    keeper       slots for a decoder, of which some are one frame of memory that is packed and used again
    folder       where a store lies, and whether it may lie there
    environment  the LMDB files of a folder: one for each process, and in which words they fail
    prefetch     what will be read soon is asked for together
    keys         by what a frame is found again: its file, its place in it, and its look
    frames       FrameStore: has, put, get
    fill         decode in order what is missing
    elsewhere    the same by an engine's workers, which leave files of packed frames
    contents     what a folder holds, whoever put it there; whether it is whole

Is given frames of an index and a decoder's look; gives the very pixels back. May not know why somebody wants a frame,
nor when: the order that reaches the model is the same with a store and without.
"""

"""Reads -> frames. A decoder is one module here and one option file in conf.

`base` is the promise, `geometry` says which part of a picture becomes a frame.
"""

"""Reads -> frames in memory. A decoder is one module here and one option file in conf.

`base` is the promise, `geometry` says which part of a picture becomes a frame, `reader` which pictures come out of a
file, `scaler` and `colour` what becomes of their pixels. Is given a `GopRead` and slots; fills these. May not know why
somebody wants a frame, nor when.
"""

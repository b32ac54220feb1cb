"""Which frame comes at which position of an epoch. A sampler is one module here and one option file in conf.

`base` is the promise, `laws` what a sampler states of itself, `permutation` the one piece of arithmetic that several
share. Is given an index and a seed; hands on an order of frame ids. May not know memory, decoders or batches.
"""

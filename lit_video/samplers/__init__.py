"""Which frame comes at which position of an epoch. A sampler is one module here and one option file in conf.

`base` is the promise, `permutation` the one piece of arithmetic that several samplers share.
"""

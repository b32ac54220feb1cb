"""A sweep's jobs side by side: `python train.py -m sampler=uniform,chunked data.threads=1,2`.

::

    callback -> summary -> jobs -> ranking -> tables, plot
"""

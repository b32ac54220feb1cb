"""From reads to batches: threads, processes and memory.

Modules in the order in which a frame meets them::

    epoch      one pass over the data: what is to come, and where it is
    slots      the memory that frames wait in
    workers    threads that decode into it; processes: the same, somewhere else
    assembly   frames that came -> the next batch, in order
    gather     slots -> one tensor
    faults     what is done about frames that cannot be had
    counters   what all this did
    resume     where it was, to go on from there
    arguments  what a user may ask for
    loader     all of it, as the iterable that training sees

Is given an order, a plan and a decoder; hands on batches. May not know Lightning.
"""

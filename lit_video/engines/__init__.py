"""Much work on many machines: the unit of work is ours, the engine that runs it is anybody's.

::

    base         what an engine is, and what is to be done: items, each of which is on disk whole or not at all
    shards       items in shards, the large first
    worker       what runs in a worker: a shard, item by item
    driver       shards are given out until nothing is missing; who dies at an item is noticed
    local, submitit, ray    the engines, a few lines each

Is given items and what to do with one; hands on nothing, for all that is done is on disk. May know nothing of videos.
"""

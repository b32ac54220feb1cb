"""The benchmark: contenders that load the same frames in different ways, each in a process of its own.

::

    exercise_data -> contenders -> compare
"""

"""What every room needs and none of them is about: errors, random numbers, the machine, the screen, the demo's clips.

Is given names and seeds; hands on numbers and sentences. May know nothing of lit_video.
"""

"""How a file is opened, and what one picture in it says of itself.

Is given a path; hands on packets and pictures as FFmpeg has them, their places, colours and orientation. May not know
which pictures anybody wants.
"""

"""The benchmark: contenders that load the same frames in different ways, each in a process of its own.

::

    exercise_data -> contenders, of_clips, of_far, of_files, of_lance, of_store -> run (one) -> compare (all, in turn)

Is given a folder of videos; hands on rows of measurements. May not know who asked.
"""

# Names of the functions in these modules, here so that a command line is read without torch.
CONTENDERS = (
    "baseline", "limit", "seek_loop", "sequential", "ours", "ours_alone", "ours_torchcodec", "chunked", "torchcodec",
    "clips", "chunked_by_8", "torchcodec_clips",
    "imagefolder", "litdata", "blobs", "blobs_uniform", "ours_far", "torchcodec_far",
    "lance_far",
)  # fmt: skip

# Contenders that read what is made of the videos beforehand, by the functions named.
PREPARED = {
    "imagefolder": "extracted", "litdata": "chunks", "blobs": "filled", "blobs_uniform": "filled",
    "lance_far": "lance_table",
}  # fmt: skip

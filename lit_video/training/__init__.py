"""What Lightning and a model see: batches on the device, augmentation, streams, and models to measure with.

Is given batches; hands on what `training_step` takes. May not know where frames came from.
"""

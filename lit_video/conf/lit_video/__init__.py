"""Groups `lit_video/data`, `lit_video/sampler`, `lit_video/decoder` and `lit_video/transform`."""

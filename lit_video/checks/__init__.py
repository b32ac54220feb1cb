"""Verdicts: is what lit_video says so?

`verify` holds an index to a sequential decode, `promises` samplers and decoders to what they state (public as
`lit_video.testing`), `doctor` the machine to what training needs, `fuzz` all of it to damaged files. `stamps` are
videos whose pixels say which frame they are. May know every room but the commands.
"""

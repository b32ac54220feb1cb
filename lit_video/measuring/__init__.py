"""What a run did, in numbers and pictures.

`throughput` is Lightning's callback that writes throughput.json, `copies` counts what crosses between CPU and GPU,
`reads` notes what each read takes, `contact_sheet` draws a batch, `canvas` is what all figures share, `page` what all
written reports do. May know a run, and change nothing in it.
"""

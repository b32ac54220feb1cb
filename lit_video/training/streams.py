"""Keeping the model's work on a GPU beside the decoders', not behind it. Unverified on hardware.

NVDEC's pictures are queued on the device's default stream, and threads that decode convert them there. That is also
where torch runs a model by default: then a thread that waits for its frames waits for the model's whole queue.
"""

from __future__ import annotations

import torch


class BesideDecoders:
    """Has the calling thread work on a stream of its own, until `end` is called by the same thread.

    Args:
        device: A GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._before = torch.cuda.current_stream(device)
        own = torch.cuda.Stream(device)
        own.wait_stream(self._before)  # the model's weights were put there
        torch.cuda.set_stream(own)
        self._own: torch.cuda.Stream | None = own

    def end(self) -> None:
        """Go on where the thread worked before, behind what it did meanwhile."""
        if self._own is not None:
            self._before.wait_stream(self._own)
            torch.cuda.set_stream(self._before)
            self._own = None

"""A video network that two cores can train in minutes. Larger ones are in `torchvision.models.video`."""

from __future__ import annotations

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn


class SmallVideoNetwork(nn.Module):
    """Convolutions in space, then in time, four times; then the mean over both, and a score for each class.

    Each stage halves height and width and keeps the number of frames, so any length of clip will do.

    Args:
        num_classes: Scores for each clip.
        width: Channels of the first stage, a multiple of 8; each stage has twice as many as the one before.
    """

    def __init__(self, num_classes: int, width: int = 16) -> None:
        super().__init__()
        channels = [3, *(width * 2**stage for stage in range(4))]
        self.stages = nn.Sequential(*(_stage(*pair) for pair in pairwise(channels)))
        self.scores = nn.Linear(channels[-1], num_classes)

    def forward(self, clips: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch classes"]:
        """Return a score for each class."""
        return self.scores(self.stages(clips).mean(dim=(2, 3, 4)))


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(inputs, outputs, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        nn.GroupNorm(8, outputs),  # of each clip alone, as for frames
        nn.ReLU(),
        nn.Conv3d(outputs, outputs, (3, 1, 1), padding=(1, 0, 0)),
        nn.GroupNorm(8, outputs),
        nn.ReLU(),
    )

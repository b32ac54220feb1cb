"""Every sampler that has an option file keeps the promise: a new one joins by existing."""

from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

import lit_video
from lit_video.testing import check_sampler
from tests.fakes import index_of

FOLDER = Path(lit_video.__file__).parent / "conf" / "lit_video" / "sampler"
CONFIGS = sorted(FOLDER.glob("*.yaml"))
SHAPES = {"ordinary": ([50, 31, 12], 10), "one video": ([40], 12), "one frame": ([1], 1), "tiny": ([1, 2, 1, 3], 2)}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_keeps_its_promises(config, shape):
    index = index_of(*shape)
    check_sampler(instantiate(OmegaConf.load(config))(index=index, seed=0), index)

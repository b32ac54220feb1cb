"""Holds samplers and decoders to their promises: lit_video's own, and those that others write.

::

    from lit_video.testing import check_decoder, check_sampler

    def test_my_sampler(index):
        check_sampler(MySampler(index, seed=0), index)
"""

from lit_video.checks.promises import check_decoder, check_sampler
from lit_video.checks.stamps import read_stamp, write_stamped

__all__ = ["check_decoder", "check_sampler", "read_stamp", "write_stamped"]

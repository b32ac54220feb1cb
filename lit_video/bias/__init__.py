"""What a sampler costs statistically: bias, variance, and which of them is worth paying.

Pure functions on NumPy arrays. They decode nothing and know no sampler; docs/bias.md has the formulas that the
docstrings cite (F1 to F59). The modules, from the law of one slot to a decision::

    first_order        a law q -> its distance from uniform, its bias, its weights
    inclusion          a way of reading runs of frames -> q
    buffers            a shuffle buffer -> the law of its slots and pairs
    shards             data split over ranks or workers -> q, design effect

    correlation        R, how alike neighbouring frames are -> h, what that makes of a run of k
    slot_correlation   R and a way of mixing chunks -> r, how alike the slots of a stream are
    design_effect      pairs, chunks or r -> variance of a batch, relative to independent frames

    planner_law        look-ahead -> decoded frames, seeks and memory of exactly uniform order
    choice             costs and R -> effective frames per second, the best k
    conditions         everything measured, in one record
    recommendation     conditions -> a sampler and the reasons

    measure            gradients of frames -> R and design effect, with intervals
    counts             how often each frame was drawn -> is the sampler uniform?
"""

from lit_video.bias.buffers import (
    buffer_law,
    buffer_pair_lag,
    deff_replay,
    p_same_video_buffer,
    q_algorithm_r,
    replay_uses,
    tv_buffer,
)
from lit_video.bias.choice import best_k, eff_rate, eff_rates
from lit_video.bias.conditions import Conditions
from lit_video.bias.correlation import (
    CorrelationModel,
    fit_R,
    h,
    h_ar1,
    h_curve,
    h_model,
    line_correlation,
    rho_in,
)
from lit_video.bias.counts import (
    CountTest,
    DirectedTest,
    DrawnChunks,
    DrawnWindows,
    count_test,
    directed_test,
    draws_needed,
    holm,
    tv_null,
)
from lit_video.bias.design_effect import (
    deff_cluster,
    deff_corgi,
    deff_from_slots,
    deff_momentum,
    deff_pairs,
    deff_wor,
    momentum_reach,
)
from lit_video.bias.first_order import BiasBounds, bias_bounds, bias_vector, chi2, ht_weights, kish_factor, tv
from lit_video.bias.inclusion import (
    chi2_sliding,
    q_circular,
    q_clamped,
    q_keyframe_seek,
    q_partition,
    q_sliding,
    q_time_uniform,
    q_truncated,
    q_two_stage,
    tv_sliding,
)
from lit_video.bias.measure import EstimatedDeff, EstimatedR, estimate_deff, estimate_R
from lit_video.bias.planner_law import (
    PlannerCost,
    planner_block,
    planner_lookahead,
    planner_memory,
    planner_sliding,
)
from lit_video.bias.recommendation import Candidate, Recommendation, recommend
from lit_video.bias.shards import ShardBias, shard_bias, worker_deff
from lit_video.bias.slot_correlation import (
    slot_corr_buffer,
    slot_corr_jitter,
    slot_corr_lanes,
    slot_corr_random_lanes,
)

__all__ = [
    "BiasBounds",
    "Candidate",
    "Conditions",
    "CorrelationModel",
    "CountTest",
    "DirectedTest",
    "DrawnChunks",
    "DrawnWindows",
    "EstimatedDeff",
    "EstimatedR",
    "PlannerCost",
    "Recommendation",
    "ShardBias",
    "best_k",
    "bias_bounds",
    "bias_vector",
    "buffer_law",
    "buffer_pair_lag",
    "chi2",
    "chi2_sliding",
    "count_test",
    "deff_cluster",
    "deff_corgi",
    "deff_from_slots",
    "deff_momentum",
    "deff_pairs",
    "deff_replay",
    "deff_wor",
    "directed_test",
    "draws_needed",
    "eff_rate",
    "eff_rates",
    "estimate_R",
    "estimate_deff",
    "fit_R",
    "h",
    "h_ar1",
    "h_curve",
    "h_model",
    "holm",
    "ht_weights",
    "kish_factor",
    "line_correlation",
    "momentum_reach",
    "p_same_video_buffer",
    "planner_block",
    "planner_lookahead",
    "planner_memory",
    "planner_sliding",
    "q_algorithm_r",
    "q_circular",
    "q_clamped",
    "q_keyframe_seek",
    "q_partition",
    "q_sliding",
    "q_time_uniform",
    "q_truncated",
    "q_two_stage",
    "recommend",
    "replay_uses",
    "rho_in",
    "shard_bias",
    "slot_corr_buffer",
    "slot_corr_jitter",
    "slot_corr_lanes",
    "slot_corr_random_lanes",
    "tv",
    "tv_buffer",
    "tv_null",
    "tv_sliding",
    "worker_deff",
]

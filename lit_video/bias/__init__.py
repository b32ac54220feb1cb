"""What a sampler costs statistically: bias, variance, and which of them is worth paying.

Pure functions on NumPy arrays. They decode nothing and know no sampler; docs/bias.md has the formulas that the
docstrings cite, and more of them (F1 to F73). The modules, from the law of one slot to a decision::

    first_order        a law q -> its distance from uniform, its weights; the law of sliding windows
    correlation        R, how alike neighbouring frames are -> h, what that makes of a run of k; the model of R
    design_effect      correlation of slots -> variance of a batch, relative to independent frames
    clips              samples of several frames: which they hold, how alike they are, what they decode
    planner_law        look-ahead -> decoded frames, seeks and memory of exactly uniform order
    store_law          frames kept decoded -> what is decoded still, and when that has paid
    estimates          gradients of frames -> R and design effect, with intervals
    recommendation     costs, R and memory -> a sampler and the reasons

    validation         what arguments may be
"""

from lit_video.bias.clips import clip_correlation, clip_decodes, clip_factor, clip_gops, clips_holding, q_clips
from lit_video.bias.correlation import CorrelationModel, fit_R, h, h_curve, line_correlation
from lit_video.bias.design_effect import deff_from_slots, deff_momentum, momentum_reach, slot_corr_jitter
from lit_video.bias.estimates import EstimatedDeff, EstimatedR, estimate_deff, estimate_R
from lit_video.bias.first_order import chi2, ht_weights, kish_factor, q_sliding, tv
from lit_video.bias.planner_law import PlannerCost, lead_in, planner_lookahead, planner_sliding
from lit_video.bias.recommendation import Candidate, Conditions, Recommendation, eff_rates, price, recommend
from lit_video.bias.store_law import decoded_with_store, epochs_until_store_pays

__all__ = [
    "Candidate",
    "Conditions",
    "CorrelationModel",
    "EstimatedDeff",
    "EstimatedR",
    "PlannerCost",
    "Recommendation",
    "chi2",
    "clip_correlation",
    "clip_decodes",
    "clip_factor",
    "clip_gops",
    "clips_holding",
    "decoded_with_store",
    "deff_from_slots",
    "deff_momentum",
    "eff_rates",
    "epochs_until_store_pays",
    "estimate_R",
    "estimate_deff",
    "fit_R",
    "h",
    "h_curve",
    "ht_weights",
    "kish_factor",
    "lead_in",
    "line_correlation",
    "momentum_reach",
    "planner_lookahead",
    "planner_sliding",
    "price",
    "q_clips",
    "q_sliding",
    "recommend",
    "slot_corr_jitter",
    "tv",
]

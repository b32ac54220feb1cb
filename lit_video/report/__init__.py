"""The bias report: what each sampler costs statistically on the user's own videos, and which one to take.

Facts flow one way, and the modules are named in that order::

    setting       the data as a training run would load it, and the report's own options
    choices       the samplers that compete, what the cost model proposes, and the options that choose each
    features      frames -> vectors that stand for gradients
    pilot         which frames are looked at -> vectors of runs and of independent pairs
    likeness      vectors -> R with intervals, the model of it, and R as far as it is asked for

    contest       a contender -> images per second, decoded frames, waiting: measured, not computed
    costs         all reads of the contest -> seconds per read and frame; what a whole epoch would have taken
    worth         costs and R -> a contender's row of the table; all rows -> which to take
    inclusion     samplers -> is each frame drawn as often as it should be?

    pictures      facts -> all figures
    document      facts -> report.md
    facts         options -> all of it: the one dictionary that report.json is, and a folder that is written at the end
"""

from lit_video.report.setting import Options as Options
from lit_video.report.setting import Setting as Setting

"""The bias report: what each sampler costs statistically on the user's own videos, and which one to take.

Facts flow one way, and the modules are named in that order::

    setting       the data as a training run would load it, and the report's own options
    reading       frames by id -> one vector each, decoded as training decodes them
    features      frames -> vectors that stand for gradients
    pilot         which frames are looked at -> vectors of runs and of independent pairs
    likeness      vectors -> R with intervals, the model of it, and R as far as it is asked for

    contenders    samplers to compare
    contest       a contender -> images per second, decoded frames, waiting: measured, not computed
    costs         all reads of the contest -> seconds per read and frame; what a whole epoch would have taken
    worth         a sampler and R -> bias, design effects, effective images per second
    inclusion     samplers -> is each frame drawn as often as it should be?
    advice        costs and R -> a sampler, as a command line

    facts         each finding -> plain numbers
    curves        what is drawn as a curve
    summary       everything found -> the one dictionary that report.json is, with the recommendation

    canvas        what figures share
    scatter       speed against worth
    pictures      facts -> all figures
    markdown      numbers, lists and tables
    method        facts -> how everything was found
    words         facts -> report.md
    reasons       facts -> why the recommended sampler is recommended
    main          all of it, and a folder that is written at the end
"""

from lit_video.report.setting import Options as Options
from lit_video.report.setting import Setting as Setting

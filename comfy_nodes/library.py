"""The library that these nodes stand on: the one beside this folder when ComfyUI loads the checkout as a pack.

Only there is this folder inside another package. Everywhere else it is a package of its own, and the library is the one
that is installed. The nodes take it from here and nowhere else: a process may hold both, and classes of one are not
those of the other.
"""

if "." in __package__:
    from ..vs_remaster import engines, errors, remaster, weights
    from ..vs_remaster.color import matrices as color
    from ..vs_remaster.color import samples
    from ..vs_remaster.film import remastering as job
    from ..vs_remaster.jobs import run as film_jobs
    from ..vs_remaster.output import codecs
    from ..vs_remaster.output import writer as encode
    from ..vs_remaster.references import reference as references
    from ..vs_remaster.remaster import pipeline, scenes
    from ..vs_remaster.stills import coverage
    from ..vs_remaster.stills import sharpness as pick
    from ..vs_remaster.video import planes
    from ..vs_remaster.video import reader as video
else:
    from vs_remaster import engines, errors, remaster, weights
    from vs_remaster.color import matrices as color
    from vs_remaster.color import samples
    from vs_remaster.film import remastering as job
    from vs_remaster.jobs import run as film_jobs
    from vs_remaster.output import codecs
    from vs_remaster.output import writer as encode
    from vs_remaster.references import reference as references
    from vs_remaster.remaster import pipeline, scenes
    from vs_remaster.stills import coverage
    from vs_remaster.stills import sharpness as pick
    from vs_remaster.video import planes
    from vs_remaster.video import reader as video

__all__ = [
    "codecs",
    "color",
    "coverage",
    "encode",
    "engines",
    "errors",
    "film_jobs",
    "job",
    "pick",
    "pipeline",
    "planes",
    "references",
    "remaster",
    "samples",
    "scenes",
    "video",
    "weights",
]

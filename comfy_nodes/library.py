"""The library that these nodes stand on: the one beside this folder when ComfyUI loads the checkout as a pack.

Only there is this folder inside another package. Everywhere else it is a package of its own, and the library is the one
that is installed. The nodes take it from here and nowhere else: a process may hold both, and classes of one are not
those of the other.
"""

if "." in (__package__ or ""):
    # the checkout is the package then, which a type checker cannot know
    from ..vs_remaster import color, engines, errors, references, remaster, stills, video, weights  # ty: ignore[import-not-found]
    from ..vs_remaster import film as filming  # ty: ignore[import-not-found]
    from ..vs_remaster import jobs as film_jobs  # ty: ignore[import-not-found]
    from ..vs_remaster import output as writing  # ty: ignore[import-not-found]
else:
    from vs_remaster import color, engines, errors, references, remaster, stills, video, weights
    from vs_remaster import film as filming
    from vs_remaster import jobs as film_jobs
    from vs_remaster import output as writing

__all__ = [
    "color",
    "engines",
    "errors",
    "film_jobs",
    "filming",
    "references",
    "remaster",
    "stills",
    "video",
    "weights",
    "writing",
]

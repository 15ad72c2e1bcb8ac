"""Films of any length in chunks: work that can be stopped, resumed and shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..system.lazy import face

if TYPE_CHECKING:
    from .planning.options import JobOptions
    from .run import is_begun, needs_job, remaster_job

__all__ = ["JobOptions", "is_begun", "needs_job", "remaster_job"]

__getattr__, __dir__ = face(
    __name__,
    {
        "planning.options": "JobOptions",
        "run": "is_begun needs_job remaster_job",
    },
)

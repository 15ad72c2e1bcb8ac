"""Films of any length in chunks: work that can be stopped, resumed and shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..system.lazy import face

if TYPE_CHECKING:
    from .planning.options import JobOptions
    from .run import is_begun, needs_job, remaster_job
    from .status import frames_kept, remove_job

__all__ = ["JobOptions", "frames_kept", "is_begun", "needs_job", "remaster_job", "remove_job"]

__getattr__, __dir__ = face(
    __name__,
    {
        "planning.options": "JobOptions",
        "run": "is_begun needs_job remaster_job",
        "status": "frames_kept remove_job",
    },
)

"""Films of any length in chunks: work that can be stopped, resumed and shared."""

from __future__ import annotations

from .planning.options import JobOptions
from .run import is_begun, needs_job, remaster_job

__all__ = ["JobOptions", "is_begun", "needs_job", "remaster_job"]

"""How far a long job is: for a person who watches it, and for programs."""

from __future__ import annotations

from typing import Literal, Protocol

Stage = Literal["survey", "frames", "encode", "report"]


class Watch(Protocol):
    """Is told how far a job is."""

    def report(
        self, stage: Stage, done: int, total: int | None, disk_needed: int | None = None, disk_free: int | None = None
    ) -> None:
        """Take what is known now; may be called from another thread.

        Args:
            stage: `survey` (the film is looked through), `frames` (made), `encode` (into the output), `report` (see
                `report.command`).
            done: frames of that stage, also those of earlier runs.
            total: frames there will be; None where that is not known.
            disk_needed: bytes that will still be written into the job folder; None where that is of no interest.
            disk_free: bytes that are free there.
        """


class Nobody:
    """Nobody watches."""

    def report(
        self, stage: Stage, done: int, total: int | None, disk_needed: int | None = None, disk_free: int | None = None
    ) -> None:
        """See `Watch`."""


nobody = Nobody()

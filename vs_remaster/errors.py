"""Errors that a user can do something about."""

from __future__ import annotations


class RemasterError(Exception):
    """Base of every error this package raises on purpose: one line that says what was wrong, the value, what to do."""


class InputError(RemasterError):
    """A file or a value given by the user cannot be used."""


class UnsupportedError(RemasterError):
    """What was asked for is sound, but this version, this machine or this format cannot do it."""

"""Errors that a user can do something about."""

from __future__ import annotations


class RemasterError(Exception):
    """Base of every error this package raises on purpose: one line that says what was wrong, the value, what to do."""


class InputError(RemasterError):
    """A file or a value given by the user cannot be used."""


class UnsupportedError(RemasterError):
    """What was asked for is sound, but this version, this machine or this format cannot do it."""


def system_text(error: OSError) -> str:
    """What the system refused, in one line with the name of the file, where it is known."""
    names = " and ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    return f"{names}: {error.strerror or error}" if names else str(error.strerror or error)


def printable(text: str) -> str:
    """A message as a terminal may have it: what it would obey or cannot show is escaped, as `repr` does it.

    Names of files come from anywhere, and may hold lines, sequences that move the cursor, or bytes that are no text.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)

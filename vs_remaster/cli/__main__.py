"""`python -m vs_remaster.cli`."""

from . import program

program()

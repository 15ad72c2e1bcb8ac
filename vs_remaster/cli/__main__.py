"""`python -m vs_remaster.cli`."""

from . import program

if __name__ == "__main__":
    program()

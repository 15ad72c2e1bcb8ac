"""The command line where nothing is installed, from the folder that holds this package: `python -m vs_remaster`."""

from .cli import program

if __name__ == "__main__":
    program()

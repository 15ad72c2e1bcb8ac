"""Runs the command line in the test's own process."""

from __future__ import annotations

from vs_remaster import cli


def run(capsys, *arguments: object) -> tuple[int, str]:
    """Run the program in this process: exit status and what it wrote to stdout and stderr."""
    status, out, err = run_apart(capsys, *arguments)
    return status, out + err


def run_apart(capsys, *arguments: object) -> tuple[int, str, str]:
    """The same with stdout and stderr apart."""
    capsys.readouterr()
    try:
        status = cli.main([str(a) for a in arguments])
    except SystemExit as stop:
        status = stop.code
    return status, *capsys.readouterr()


def fails(capsys, *arguments: object) -> str:
    """The only line that a failing run writes to stderr."""
    status, _, err = run_apart(capsys, *arguments)
    assert status == 2, err
    assert len(err.splitlines()) == 1, err
    assert err.startswith("vs-remaster: ")
    return err

"""What a user can mend is a line, and the exit code says that it failed.  The one place that says so.

Knows no subcommand.  A traceback that still appears is a fault of this program.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from snakedvc.errors import ProjectError
from tokenspectrum.errors import UserError


def lines(text: str) -> str:
    """`text` as errors, one a line.  What goes on below its line, indented, belongs to it."""
    return "\n".join(line if line.startswith("  ") else f"error: {line}" for line in text.splitlines())


def _give_up_stdout() -> None:
    """Python does not try once more to write what could not be written."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_standard_streams() -> None:
    """No file that is opened later may get the number of a standard stream that was closed."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _of_the_system(e: OSError) -> str:
    """`FILE: why` of what the operating system refused."""
    why = e.strerror or str(e)
    return f"{e.filename}: {why}" if e.filename else f"standard output: {why}"


@contextmanager
def as_lines() -> Iterator[None]:
    """What goes wrong inside is printed as lines on stderr, and the process exits."""
    _open_standard_streams()
    if sys.stdout is None:
        raise SystemExit(lines("standard output is closed; give it a file or a pipe"))
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # a locale of few letters: what it lacks is written as \u1234
            reconfigure(errors="backslashreplace")
    try:
        yield
        sys.stdout.flush()
    except (UserError, ProjectError) as e:
        raise SystemExit(lines(str(e))) from None
    except BrokenPipeError:  # `spectrum sql ... | head`
        _give_up_stdout()
        raise SystemExit(141) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except OSError as e:
        _give_up_stdout()
        raise SystemExit(lines(_of_the_system(e))) from None

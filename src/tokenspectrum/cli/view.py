"""`spectrum view`: the tokens of a preset as a page in the browser, or as one file.  Changes nothing."""

import argparse
import os
import sys
import webbrowser
from pathlib import Path

from tokenspectrum.errors import UserError

PORT = 8765
LIMIT = 32  # responses of a page
MOST = 2**31 - 1  # as large as numbers of the tables are
MOST_THREADS = 256
CHECKPOINTS = Path(".ckpt")


def _artifacts(folder: Path | None) -> Path:
    """The folder given, else the one of this preset; it may not be there yet, but a folder that was given must."""
    from tokenspectrum.params.base import read_sections
    from tokenspectrum.params.values import Name

    if folder is not None:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder")
        return folder
    (preset,) = read_sections(preset=Name)
    return Path("artifacts") / preset.root


def _run(args: argparse.Namespace) -> None:
    from tokenspectrum.view.store import Store

    _check_options(args)
    _check_numbers(args)
    store = Store(_artifacts(args.folder), CHECKPOINTS, threads=args.threads)
    if args.export is not None:
        from tokenspectrum.results.output import check_target
        from tokenspectrum.view.export import Wanted, export

        if args.run is None and args.prompt is None:
            raise UserError("view: --export wants --run, --prompt or both, to choose the responses")
        check_target(args.export, "--export")
        wanted = Wanted(args.run or [], args.seed or [], args.step, args.prompt or "", args.limit or LIMIT)
        n = export(store, wanted, args.export)
        print(f"{args.export}: {n} responses", file=sys.stderr)
        return
    from tokenspectrum.view.guard import new_token
    from tokenspectrum.view.server import listen, serve

    listener, token = listen(args.port, PORT), new_token()
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/{token}/"

    def ready() -> None:
        print(address)
        print("Ctrl-C ends it.  From another machine: ssh -L PORT:127.0.0.1:PORT, with the same PORT twice", flush=True)
        if not args.no_browser and not open_browser(address):
            print("no browser could be opened here; open the address above", file=sys.stderr)

    serve(store, token, listener, ready)


def _check_options(args: argparse.Namespace) -> None:
    """A UserError for the first option that would do nothing."""
    unused = ("port",) if args.export is not None else ("run", "seed", "step", "prompt", "limit")
    for name in unused:
        if getattr(args, name) is not None:
            what = "serves the page, and --export writes it" if args.export is not None else "goes with --export"
            raise UserError(f"view: --{name} {what}; leave it out")


def _check_numbers(args: argparse.Namespace) -> None:
    given = [("threads", args.threads, 1, MOST_THREADS), ("limit", args.limit, 1, MOST), ("step", args.step, 0, MOST)]
    for name, value, least, most in [*given, *(("seed", seed, 0, MOST) for seed in args.seed or [])]:
        if value is not None and not least <= value <= most:
            raise UserError(f"view: --{name} is a whole number from {least} to {most} (got {str(value)[:60]})")


def open_browser(address: str) -> bool:
    """Whether a browser with a window was started; one in the terminal would take it from the server."""
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in screens):
        return False
    try:
        return webbrowser.open(address)
    except (webbrowser.Error, OSError):
        return False


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.add_argument("folder", nargs="?", type=Path, help="tables to show; default: artifacts/<preset>")
    parser.add_argument("--port", type=int, help=f"port on 127.0.0.1 (default {PORT}, or a free one; 0: any)")
    parser.add_argument("--no-browser", action="store_true", help="print the address alone")
    parser.add_argument("--threads", type=int, default=2, help="threads that questions may use (default 2)")
    parser.add_argument("--export", type=Path, metavar="PAGE.html", help="write one self-contained file instead")
    parser.add_argument("--run", action="append", help="with --export: responses of this run; may be given again")
    parser.add_argument("--seed", type=int, action="append", help="with --export: of this seed; may be given again")
    parser.add_argument("--step", type=int, help="with --export: of this step")
    parser.add_argument("--prompt", help="with --export: of the problem with this prompt_id")
    parser.add_argument("--limit", type=int, help=f"with --export: at most so many responses (default {LIMIT})")
    parser.set_defaults(func=_run)

"""The page and its questions over HTTP on loopback.  Knows routes; what they answer is the store's.

A user's mistake and a damaged file are one line with status 400.  Nothing is logged but errors.
"""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import resources
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tokenspectrum.errors import UserError
from tokenspectrum.view.filters import read_brush, read_filters, read_number, read_page, read_whole
from tokenspectrum.view.guard import Guard
from tokenspectrum.view.plain import to_json
from tokenspectrum.view.store import Store
from tokenspectrum.view.strip import attention, strip

PAGE = resources.files("tokenspectrum.view") / "page"
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
REFRESH_S = 2.0


def listen(port: int | None, preferred: int) -> socket.socket:
    """A socket on 127.0.0.1: at `port` (0: any), or, without one, at the preferred or else any free port."""
    for attempt in (preferred, 0) if port is None else (port,):
        found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind(("127.0.0.1", attempt))
            found.listen(64)
            return found
        except (OSError, OverflowError) as e:  # a number past 65535 is an overflow
            found.close()
            problem = e.strerror if isinstance(e, OSError) else "a port is 0 to 65535"
    raise UserError(f"view: port {port} cannot be used ({problem}); give another by --port, or 0 for any free one")


def make_app(store: Store, token: str, port: int) -> Guard:
    """The ASGI application behind its guard."""
    routes = [Route("/", _file), *(Route(f"/api/{name}", _answer(store, f)) for name, f in ANSWERS.items())]
    return Guard(Starlette(routes=[*routes, Route("/{name}", _file)]), token, port)


def serve(store: Store, token: str, listener: socket.socket, ready: Callable[[], None] = lambda: None) -> None:
    """Answer until interrupted; a thread reads what is new every two seconds."""
    stop = threading.Event()
    reader = threading.Thread(target=_keep_fresh, args=(store, stop), daemon=True)
    app = make_app(store, token, listener.getsockname()[1])
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="error", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    )
    reader.start()
    ready()
    try:
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    finally:
        stop.set()


def _keep_fresh(store: Store, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            store.refresh()
        except Exception as e:  # the page must outlive whatever a file does to us; it shows the line
            store.found_notices = [f"reading stopped: {type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"]
            store.version += 1
        stop.wait(REFRESH_S)


def _answer(store: Store, answer: Callable[[Store, Request], dict[str, Any]]) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:  # not async: starlette gives it a thread
        try:
            return _json(answer(store, request))
        except UserError as e:
            return _json({"error": str(e)}, 400)

    return endpoint


def _json(value: dict[str, Any], status: int = 200) -> Response:
    return Response(to_json(value), status, media_type="application/json")


def _file(request: Request) -> Response:
    name = request.path_params.get("name", "index.html")
    kind = KINDS.get("." + name.rpartition(".")[2])
    # Looked up among the files that there are: a name of a request is never opened.
    path = next((path for path in PAGE.iterdir() if path.name == name), None)
    if kind is None or path is None or not path.is_file():
        return Response(f"{name}: no such page\n", 404, media_type="text/plain")
    return Response(path.read_bytes(), media_type=kind)


def _key(request: Request) -> tuple[tuple[str, int, int], int]:
    query = request.query_params
    try:
        run, (seed, step, response) = query["run"], (query[name] for name in ("seed", "step", "response"))
    except KeyError:
        raise UserError("run, seed, step and response name a response; one is missing") from None
    return (run, read_number("seed", seed), read_number("step", step)), read_number("response", response)


def _responses(store: Store, request: Request) -> dict[str, Any]:
    query = request.query_params
    return store.responses(read_filters(query), read_brush(query), read_page(query))


def _place(store: Store, request: Request) -> dict[str, Any]:
    """The response by `of`, since `run`, `seed` and `step` are filters: run/seed/step/response."""
    query = request.query_params
    run, *numbers = query.get("of", "").rsplit("/", 3)
    if len(numbers) != 3:
        raise UserError("of: run/seed/step/response is wanted")
    seed, step, response = (read_number("of", number) for number in numbers)
    return store.place(read_filters(query), read_brush(query), read_page(query), (run, seed, step), response)


def _cloud(store: Store, request: Request) -> dict[str, Any]:
    query = request.query_params
    return store.cloud(query.get("x", ""), query.get("y", ""), read_filters(query))


ANSWERS: dict[str, Callable[[Store, Request], dict[str, Any]]] = {
    "state": lambda store, request: store.state(),
    "responses": _responses,
    "place": _place,
    "response": lambda store, request: strip(store, *_key(request)),
    "attention": lambda store, request: attention(store, *_key(request), read_whole(request.query_params, "position")),
    "scale": lambda store, request: store.scale(request.query_params.get("column", "")),
    "cloud": _cloud,
}

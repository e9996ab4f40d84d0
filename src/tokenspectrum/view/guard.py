"""Who may ask: a request must know the token, name this machine as its host, and come from a page of ours.

A page elsewhere that is open in the same browser can send requests to loopback; a name that resolves to loopback can
reach it too.  Hence Host, Origin and Sec-Fetch-Site are checked before anything else.  Knows no tables.
"""

import secrets
from collections.abc import Iterable

from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
NAMES = ("127.0.0.1", "localhost")


def new_token() -> str:
    """128 random bits for the URL."""
    return secrets.token_urlsafe(16)


class Guard:
    """The page behind `/<token>/` on 127.0.0.1:port; every other request is refused with one line."""

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self.app, self.token = app, token
        self.hosts = {f"{name}:{port}" for name in NAMES}
        self.origins = {f"http://{host}" for host in self.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in HEADERS.items())]
            await send(message)

        if (refusal := self.refusal(scope)) is not None:
            status, line = refusal
            await PlainTextResponse(line + "\n", status)(scope, receive, guarded)
            return
        if scope["path"] == f"/{self.token}":  # without the slash, the page's files would be looked for beside it
            await RedirectResponse(f"/{self.token}/", 307)(scope, receive, guarded)
            return
        # What follows the token is the path that the page's own routes see.
        path = "/" + scope["path"].removeprefix(f"/{self.token}").lstrip("/")
        await self.app({**scope, "path": path, "raw_path": path.encode()}, receive, guarded)

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and line for a request that is not ours, None for one that is."""
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        if _all(headers, "host") - self.hosts or not _all(headers, "host"):
            return 421, "refused: this page answers to 127.0.0.1 and localhost alone"
        if _all(headers, "origin") - self.origins:
            return 403, "refused: the request comes from another page"
        # A link to the page, from anywhere, is fine: it needs the token.
        is_link = _all(headers, "sec-fetch-mode") == {"navigate"}
        if _all(headers, "sec-fetch-site") - {"same-origin", "none"} and not is_link:
            return 403, "refused: the request comes from another page"
        given = scope["path"].split("/")[1] if scope["path"].startswith("/") else ""
        if not secrets.compare_digest(given.encode(), self.token.encode()):
            return 403, "refused: the address lacks the token; open the one that `spectrum view` printed"
        if scope["method"] not in ("GET", "HEAD"):
            return 405, "refused: nothing can be changed here"
        return None


def _all(headers: Iterable[tuple[str, str]], name: str) -> set[str]:
    return {value for key, value in headers if key == name}

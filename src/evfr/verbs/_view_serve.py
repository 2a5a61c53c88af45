"""Run the viewer on a socket of this machine until it is interrupted."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import uvicorn

    from evfr.verbs._view_guard import Guard

__all__ = ["listen", "make_server", "serve"]


def listen(port: int) -> socket.socket:
    """Return a socket that listens on this machine alone.

    Parameters
    ----------
    port : int
        0 takes a free one.

    Returns
    -------
    socket.socket
        Bound to 127.0.0.1.

    Raises
    ------
    OSError
        If the port is taken or may not be used.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise OSError(
            error.errno,
            f"cannot listen on 127.0.0.1:{port}: {error.strerror}; give another port, or 0 for a free one",
        ) from error
    return listener


def make_server(app: Guard) -> uvicorn.Server:
    """Return the server: no access log, no header that names it, short waits for idle connections.

    Parameters
    ----------
    app : Guard
        The viewer.

    Returns
    -------
    uvicorn.Server
        Not yet running.
    """
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=2,
            limit_concurrency=64,
            h11_max_incomplete_event_size=32 << 10,
        )
    )


def serve(app: Guard, listener: socket.socket, *, address: str, has_browser: bool) -> None:
    """Serve until Ctrl-C.

    Parameters
    ----------
    app : Guard
        The viewer.
    listener : socket.socket
        As `listen` makes it.
    address : str
        To be printed, with the token.
    has_browser : bool
        Whether to open it.
    """
    server = make_server(app)
    sys.stderr.write(f"{address}\n")
    sys.stderr.flush()
    if has_browser:
        import webbrowser

        # Some browsers are started in the foreground and would keep the page from being served.
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn ends its work first, then raises the signal again
        server.run(sockets=[listener])

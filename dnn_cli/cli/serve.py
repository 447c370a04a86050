"""The command `dnn serve`: serve trained networks by HTTP, with a page to draw on."""

import os
from pathlib import Path

import click

from dnn_cli.cli import options
from dnn_cli.cli.tables import warn


@click.command
@click.argument("targets", nargs=-1, type=click.Path(path_type=Path), metavar="[RUN]...")
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    metavar="N",
    show_default=True,
    help="Port to listen on; 0 for any that is free.",
)
@options.checkpoint
@click.option(
    "--collect",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep drawings that users of the page label, in a folder for each class.",
)
@click.option(
    "--static",
    "page_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the page and the network to FILE.html, which needs no server, and stop.",
)
@click.option("--watch", is_flag=True, help="Load a network again when it is trained on.")
@click.option("--access-log", is_flag=True, help="Print a line of JSON for each request.")
@click.option(
    "--max-requests",
    type=click.IntRange(1),
    default=64,
    metavar="N",
    show_default=True,
    help="Requests with a body to handle at a time; others get 503.",
)
@click.option(
    "--max-body",
    type=click.IntRange(1),
    default=8,
    metavar="MIB",
    show_default=True,
    help="Largest body of a request; longer ones get 413.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    metavar="SECONDS",
    show_default=True,
    help="Time for the headers, and then for the body, to arrive; slower ones get 408.",
)
def serve(
    targets: tuple[Path, ...],
    host: str,
    port: int,
    checkpoint: str,
    collect: Path | None,
    page_file: Path | None,
    watch: bool,
    access_log: bool,
    max_requests: int,
    max_body: int,
    timeout: float,
) -> None:
    """Serve trained networks by HTTP, with a page to draw on.

    RUN is a run directory or a .keras file; several are served side by side, each under the name of its run. By
    default it is the newest run in runs/. NumPy computes; TensorFlow is not needed.

    The page to draw on is at the address that is printed. Programs ask by TensorFlow Serving's REST (/v1), by the
    Open Inference Protocol (/v2) or with a picture (/predict); /docs lists everything. If the environment variable
    DNN_SERVE_TOKEN is set, clients have to send it as a bearer token. SIGINT (Ctrl-C) and SIGTERM stop the server
    after it has answered the requests in flight.

    \b
    Examples:
      dnn serve
      dnn serve runs/mnist-1 runs/mnist-2 --port 9000 --watch
      dnn serve --collect drawings
      dnn serve runs/mnist-1 --static digits.html
    """
    from dnn_cli.errors import require_extra

    require_extra("serve", "fastapi", "uvicorn", "multipart", "prometheus_client", "orjson", purpose="dnn serve")
    if page_file is not None:
        _write_page(targets, checkpoint, page_file)
        return
    from dnn_cli import progress
    from dnn_cli.evaluation import model_source
    from dnn_cli.evaluation.refusal import of_run
    from dnn_cli.serving import server
    from dnn_cli.serving.limits import Bounds
    from dnn_cli.serving.models import Models

    for target in targets or (None,):
        of_run.find(model_source.find_model(target, checkpoint), warn, progress.create(quiet=False))
    is_local = host in server.LOOPBACK
    token = os.environ.get("DNN_SERVE_TOKEN", "")
    if not (is_local or token):
        warn(f"warning: everybody who reaches {host} can use this server; set DNN_SERVE_TOKEN to demand a token")
    bounds = Bounds(max_body * 2**20, timeout, max_requests, token, is_local)
    server.serve(
        Models(targets, checkpoint), server.Settings(host, port, collect, watch, access_log, bounds), click.echo
    )


def _write_page(targets: tuple[Path, ...], checkpoint: str, file: Path) -> None:
    if len(targets) > 1:
        raise click.UsageError("--static takes one RUN")
    from dnn_cli import files
    from dnn_cli.evaluation import model_source
    from dnn_cli.serving import page

    files.check_output(file, "--static", suffixes=(".html",))
    files.write_output(file, page.alone(model_source.find_model(targets[0] if targets else None, checkpoint)))
    click.echo(file)

"""``mlfeat serve``: answer requests over HTTP."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from airflow_provider_mlfeat.errors import UserError


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--store",
        default=os.environ.get("MLFEAT_ONLINE_STORE", ""),
        metavar="PLACE",
        help="folder of an embedded store, or redis://host:port/database (default: $MLFEAT_ONLINE_STORE)",
    )
    parser.add_argument("--service", default="default", help="what /predict and /schema mean (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen at (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes that answer (default: %(default)s)")
    parser.add_argument("--in-flight", type=int, default=256, help="requests per worker at a time, then 503")
    parser.add_argument("--deadline", type=float, default=2.0, help="seconds that a request may take, then 504")
    parser.add_argument("--log-folder", default="", metavar="FOLDER", help="keep a sample of the predictions there")
    parser.add_argument("--log-share", type=float, default=1.0, help="which share of them (default: %(default)s)")
    parser.add_argument("--tracking-uri", default="", metavar="URI", help="MLflow, for models named in /update")
    parser.add_argument("--models", default="", metavar="FOLDER", help="where such models are kept")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Serve until a signal ends it; callers need $MLFEAT_SERVER_TOKEN as bearer token where it is set."""
    import tempfile

    import pydantic
    import uvicorn

    from airflow_provider_mlfeat.serving.server import metrics
    from airflow_provider_mlfeat.serving.server.settings import (
        SETTINGS_VARIABLE,
        ServerSettings,
        token_from_environment,
    )
    from airflow_provider_mlfeat.serving.server.stores import check_store
    from airflow_provider_mlfeat.serving.server.workers import FOLDER_VARIABLE

    if not options.store:
        raise UserError("name the online store: --store FOLDER or --store redis://host:port/database")
    fields = {name: getattr(options, name) for name in ServerSettings.model_fields if hasattr(options, name)}
    try:
        settings = ServerSettings(**fields)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"--{str(first['loc'][0]).replace('_', '-')}: {first['msg']}") from None
    if settings.host not in ("127.0.0.1", "localhost", "::1") and token_from_environment() is None:
        print("warning: this server can be reached from elsewhere, and asks nobody for a token")
    check_store(settings.store)
    os.environ[SETTINGS_VARIABLE] = settings.model_dump_json()
    with tempfile.TemporaryDirectory(prefix="mlfeat-serve-") as folder:
        if settings.workers > 1:
            metrics.prepare_directory(Path(folder) / "metrics")
            os.environ[FOLDER_VARIABLE] = str(Path(folder) / "workers")
            Path(os.environ[FOLDER_VARIABLE]).mkdir()
        uvicorn.run(
            "airflow_provider_mlfeat.serving.server.app:create_app",
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=10,
        )
    return 0

"""The address of an MLflow store: how it is shown, and whether anything answers there."""

from __future__ import annotations

import re
import socket
from contextlib import closing
from typing import Final
from urllib.parse import urlsplit

TRACKING_URI_VARIABLE: Final = "MLFLOW_TRACKING_URI"
CONNECT_TIMEOUT_S: Final = 3.0
"""Seconds to wait for the store's first sign of life."""

_PASSWORD: Final = re.compile(r"(?<=://)([^/@\s]*?):([^/\s]*)@")


class StoreError(ValueError):
    """The store, not what was asked of it, is at fault: the same may work later."""


def masked(text: str) -> str:
    """The text with the password of every URI in it replaced, to be shown or logged."""
    return _PASSWORD.sub(r"\1:***@", text)


def check_reachable(tracking_uri: str) -> None:
    """Try the server's port: MLflow itself would retry for minutes.

    Raises:
        ValueError: if nothing listens there.
    """
    try:
        parts = urlsplit(tracking_uri)
        if parts.scheme not in ("http", "https"):
            return
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise unreachable(tracking_uri, str(error)) from error
    try:
        with closing(socket.create_connection((parts.hostname or "", port), CONNECT_TIMEOUT_S)):
            return
    except OSError as error:
        raise unreachable(tracking_uri, str(error)) from error


def unreachable(tracking_uri: str, reason: str) -> StoreError:
    """What to raise about a store that does not answer; passwords are masked."""
    return StoreError(
        f"tracking_uri: expected an MLflow store that answers at {masked(tracking_uri)}, got: "
        f"{masked(reason)}; start it, or correct the tracking URI or {TRACKING_URI_VARIABLE}; with "
        "neither, the store is SQLite in the home folder"
    )

"""Clients of models served by penchant: rows in, scores with reasons out; histories in, items out.

Names are imported when first used, so that ``penchant --help`` loads no gRPC.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from penchant.clients.client import AsyncPropensityClient, PropensityClient
    from penchant.clients.contract import Contract
    from penchant.clients.errors import (
        AccessDenied,
        ClientClosed,
        DeadlineExceeded,
        InvalidAnswer,
        InvalidRequest,
        InvalidRows,
        ModelNotFound,
        Overloaded,
        PenchantError,
        ServerError,
        ServerUnavailable,
    )
    from penchant.clients.histories import Event, Histories, History
    from penchant.clients.journey_client import AsyncJourneyClient, JourneyClient
    from penchant.clients.journey_contract import JourneyContract
    from penchant.clients.recommendations import Recommendation, Recommendations
    from penchant.clients.scores import Reason, Scores
    from penchant.clients.transport import Tls

__all__ = [
    "AccessDenied",
    "AsyncJourneyClient",
    "AsyncPropensityClient",
    "ClientClosed",
    "Contract",
    "DeadlineExceeded",
    "Event",
    "Histories",
    "History",
    "InvalidAnswer",
    "InvalidRequest",
    "InvalidRows",
    "JourneyClient",
    "JourneyContract",
    "ModelNotFound",
    "Overloaded",
    "PenchantError",
    "PropensityClient",
    "Reason",
    "Recommendation",
    "Recommendations",
    "Scores",
    "ServerError",
    "ServerUnavailable",
    "Tls",
]

_HOMES: Final = {
    "AsyncJourneyClient": "journey_client",
    "AsyncPropensityClient": "client",
    "Contract": "contract",
    "Event": "histories",
    "Histories": "histories",
    "History": "histories",
    "JourneyClient": "journey_client",
    "JourneyContract": "journey_contract",
    "PropensityClient": "client",
    "Reason": "scores",
    "Recommendation": "recommendations",
    "Recommendations": "recommendations",
    "Scores": "scores",
    "Tls": "transport",
}
"""Module of each public name; the rest are errors."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOMES.get(name, 'errors')}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return __all__

"""Times of events as codes: logarithmic buckets of seconds, and hours of the week.

Letters: B visitors, W window events, S = W + 1 tokens.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from penchant.clients.journey_contract import HOURS

UNKNOWN_HOUR: Final = HOURS
"""Row of the hour embedding for events without a known hour."""
LOG_STEP: Final = 0.301
"""Width of a time bucket in natural logarithms of seconds."""
NUM_BUCKETS: Final = 70
"""Buckets of times up to 1e9 seconds."""
NO_BUCKET: Final = NUM_BUCKETS
"""Bucket where there is no time: before the first event, and at the profile."""


def time_bucket(seconds: Tensor) -> Tensor:
    """Logarithmic bucket, INT64, of times in seconds; all below one second are in the first."""
    bucket = torch.floor(torch.log(seconds.clamp(min=1.0)) / LOG_STEP)
    return bucket.clamp(max=NUM_BUCKETS - 1.0).to(torch.int64)


def gap_bucket(action: Tensor, age: Tensor) -> Tensor:
    """Bucket of the time since the event before; `NO_BUCKET` where there is none."""
    bucket = time_bucket(age[:, :-1] - age[:, 1:])
    bucket = torch.where(action[:, :-1] > 0, bucket, NO_BUCKET)
    return functional.pad(bucket, (1, 0), value=NO_BUCKET)


def event_hour(age: Tensor, now_hour: Tensor) -> Tensor:
    """Hour of the week, INT64 0..167, of events (B, W); `UNKNOWN_HOUR` without `now_hour` (B, 1).

    Args:
        age: Seconds before now.
        now_hour: Hours since Monday 00:00, with fractions; -1 unknown.
    """
    hour = now_hour - age / 3600.0
    whole = torch.floor(hour - torch.floor(hour / HOURS) * HOURS)
    whole = whole.clamp(min=0.0, max=HOURS - 1.0).to(torch.int64)
    return torch.where(now_hour >= 0, whole, UNKNOWN_HOUR)


def request_bucket(age: Tensor) -> Tensor:
    """Bucket (B, S, S) of the time from each event to each request, the next event's time.

    `NO_BUCKET` at the profile, which is older than all and has no time of its own.
    """
    request = functional.pad(age[:, 1:], (1, 1))  # (B, S): of the prefix, which sees only itself, 0
    passed = age.unsqueeze(1) - request.unsqueeze(2)  # (B, S, W)
    return functional.pad(time_bucket(passed), (1, 0), value=NO_BUCKET)

"""What is known of the visit that goes on, from its events alone: what the purchase head reads.

Nothing here depends on when the request is made. In training that is the time of the next event,
and that one comes soon says that the visit goes on; so of the ages of events only differences are
looked at, and the age of the newest, which tells whether the visit is over, never is.

Letters: B visitors, W window events, R rows asked about (W, or the newest alone), A actions,
C channels, D width, M numbers of any kind.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

VISIT_GAP_S: Final = 1_800.0
"""A longer pause between two events begins another visit."""


class VisitSoFar(nn.Module):
    """Items and actions of this visit, and how they compare with the visitor's earlier ones.

    It is told how alike items are, in one number, not number by number, and counts of actions, not
    vectors of them: a purchase is seen once a visit, too seldom to learn more from.
    """

    def __init__(self, num_actions: int, num_channels: int, width: int) -> None:
        super().__init__()
        channels = num_channels + 1 if num_channels else 0
        self.each_action: Tensor
        self.register_buffer("each_action", torch.eye(num_actions + 1)[:, 1:], persistent=False)
        self.each_channel: Tensor
        self.register_buffer("each_channel", torch.eye(channels), persistent=False)
        self.join = nn.Linear(width + 3 * num_actions + channels + 6, width)

    def forward(
        self,
        profile: Tensor,
        older: Tensor,
        item: Tensor,
        action: Tensor,
        channel: Tensor | None,
        age: Tensor,
        *,
        newest: bool,
    ) -> Tensor:
        """Visit (B, W, D) after each of the events (B, W), or (B, D) after the newest.

        Args:
            profile: (B, D) sum of the item vectors of the events before the window.
            older: (B, 1) number of those events that have an item.
            item: (B, W, D) item vectors of the window; 0 for an event without an item.
            action: (B, W) codes; 0 is padding.
            channel: (B, W) codes; not looked at where the log has none.
            age: (B, W) seconds before any one moment.
            newest: Look only at the newest event.
        """
        rows = slice(-1, None) if newest else slice(None)
        number = visit_numbers(action, age)  # (B, W)
        own, earlier = _own_and_earlier(number, rows)  # (B, R, W) each
        last = _of_last_visit(earlier, number, item)
        items, past, before = _sums([own, earlier, last], item)  # (B, R, D) each
        directions = torch.cat([items, past + profile.unsqueeze(1), before], 1)
        # Of length 1, so that a sum and a mean are the same; 0 stays 0.
        items, past, before = functional.normalize(directions, dim=2, eps=1e-6).chunk(3, 1)
        acted = functional.embedding(action, self.each_action)  # (B, W, A)
        acts, acts_before = _sums([own, earlier], acted)  # (B, R, A) each
        passed = (age.unsqueeze(1) - age[:, rows].unsqueeze(2)) * own
        visits = number[:, rows].unsqueeze(2)
        counts = [
            acts,
            acts_before,
            visits,
            acts.sum(2, keepdim=True),
            older.unsqueeze(1).expand_as(visits),
            passed.amax(2, keepdim=True),  # seconds since the visit began
        ]
        known = [
            items * float(items.shape[-1]) ** 0.5,  # numbers of about 1
            (items * past).sum(2, keepdim=True),
            (items * before).sum(2, keepdim=True),
            torch.log1p(torch.cat(counts, 2)),
            acted[:, rows],
        ]
        if len(self.each_channel):
            assert channel is not None, "the log has channels"
            known.append(functional.embedding(channel[:, rows], self.each_channel))
        visit = functional.silu(self.join(torch.cat(known, 2)))
        return visit[:, -1] if newest else visit


def visit_numbers(action: Tensor, age: Tensor) -> Tensor:
    """FP32 (B, W) number of the visit that each event is of, counted from 1; of padding 0.

    Args:
        action: (B, W) codes; 0 is padding, in front.
        age: (B, W) seconds before any one moment.
    """
    there = action > 0
    goes_on = there[:, :-1] & (age[:, :-1] - age[:, 1:] <= VISIT_GAP_S)
    begins = there & ~functional.pad(goes_on, (1, 0))
    return begins.to(age.dtype).cumsum(1)


def _own_and_earlier(number: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
    """1 for events (B, R, W) up to a row's that are of its visit, and for those of visits before.

    Args:
        number: (B, W) of their visits.
        rows: Which R events are asked about.
    """
    asked, seen = number[:, rows].unsqueeze(2), number.unsqueeze(1)
    place = torch.arange(number.shape[1], device=number.device)
    is_past = place <= place[rows].unsqueeze(1)  # (R, W)
    return ((seen == asked) & is_past).to(number.dtype), (seen < asked).to(number.dtype)


def _of_last_visit(earlier: Tensor, number: Tensor, item: Tensor) -> Tensor:
    """1 for events (B, R, W) of the last of the earlier visits in which there was an item."""
    has_item = item[:, :, 0] != 0  # nothing that was learnt is 0 to the last bit
    seen = (number * has_item).unsqueeze(1) * earlier
    return (seen == seen.amax(2, keepdim=True).clamp(min=1.0)).to(earlier.dtype)


def _sums(chosen: list[Tensor], values: Tensor) -> tuple[Tensor, ...]:
    """(B, R, M) sums of values (B, W, M) for each choice of events (B, R, W)."""
    return torch.matmul(torch.cat(chosen, 1), values).chunk(len(chosen), 1)

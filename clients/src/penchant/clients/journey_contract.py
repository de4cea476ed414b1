"""The wire contract of a journey model: what a visitor did goes in, what she wants next comes out.

Shapes: B visitors, L events of a history (newest last, padded in front), X items to leave out, A
categories to keep to, K items answered, I intents, C channels, D numbers of an embedding.

Codes: an action or a channel travels as its place in the contract's list plus 1; 0 is none, and an
event whose action is 0 is padding. An item that an event does not have is "" (BYTES) or -1 (INT64).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from penchant.clients.contract import UNKNOWN, VERSION, TensorSpec
from penchant.clients.served_contract import ServedContract, check_names

JOURNEY: Final = "journey"
"""Kind of model."""

ITEM: Final = "item"
ACTION: Final = "action"
CHANNEL: Final = "channel"
AGE_S: Final = "age_s"
HOUR: Final = "hour"
TARGET_ACTION: Final = "target_action"
EXCLUDE: Final = "exclude"
ALLOW: Final = "allow"

NEXT_ITEM: Final = "next_item"
COUNT: Final = "count"
SCORE: Final = "score"
INTENT: Final = "intent"
INTENT_SCORE: Final = "intent_score"
CHANNEL_SCORE: Final = "channel_score"
HOUR_SCORE: Final = "hour_score"
PURCHASE: Final = "purchase"
VISITOR_EMBEDDING: Final = "visitor_embedding"

ITEM_OUTPUTS: Final = (NEXT_ITEM, SCORE, COUNT, UNKNOWN, VERSION)
"""Outputs that say which items come next, and nothing else of the visitor."""

HOURS: Final = 168
"""Hours of a week, from Monday 00:00."""
NO_ITEM: Final = -1
"""Stands for no item where ids are integers; "" where they are text."""
MOST_ITEMS: Final = 200
"""Most items of one answer."""


@dataclass(frozen=True, kw_only=True)
class JourneyContract(ServedContract):
    """Lists, lengths and limits of one served journey model."""

    _lists = ("actions", "channels")

    actions: tuple[str, ...]
    """Actions by code: the first has code 1."""
    item_dtype: str = "BYTES"
    """Triton data type of item ids: BYTES or INT64."""
    channels: tuple[str, ...] = ()
    """Channels by code: the first has code 1; none when the log knows no channels."""
    default_action: str = ""
    """What `target_action` 0 asks for; the first action when empty."""
    length: int = 100
    """Events L of a history; shorter ones are padded in front, of longer ones the newest count."""
    num_items: int = 200
    """Items K of an answer, best first; at most 200."""
    num_intents: int = 5
    """Categories I of an answer, best first; 0 when items have no categories."""
    max_exclude: int = 64
    """Items X that a visitor's request may leave out."""
    max_allow: int = 8
    """Categories A that a visitor's request may keep to."""
    embedding_size: int = 64
    """Numbers D of `visitor_embedding`."""
    has_hours: bool = True
    """Whether the hour of the next visit is answered; not where the log had no clock."""
    has_purchase: bool = True
    """Whether a purchase in this session is answered; not where no action is a purchase."""
    timezone: str = "UTC"
    """Zone in which `hour` and `hour_score` count the hours of the week."""
    max_batch_size: int = 64
    kind: str = JOURNEY

    def __post_init__(self) -> None:
        """Refuse what no model can have.

        Raises:
            ValueError: naming the field.
        """
        super().__post_init__()
        if self.item_dtype not in ("BYTES", "INT64"):
            raise ValueError(
                f"contract.item_dtype: expected BYTES or INT64, got {self.item_dtype!r}"
            )
        check_names("actions", self.actions, least=1, remedy="name each action once")
        check_names("channels", self.channels, least=0, remedy="name each channel once")
        if self.default_action and self.default_action not in self.actions:
            raise ValueError(
                f"contract.default_action: expected one of {self.actions}, "
                f"got {self.default_action!r}"
            )
        least = {
            "length": 1,
            "num_items": 1,
            "num_intents": 0,
            "max_exclude": 1,
            "max_allow": 1,
            "embedding_size": 1,
        }
        for name, low in least.items():
            if not getattr(self, name) >= low:
                raise ValueError(
                    f"contract.{name}: expected at least {low}, got {getattr(self, name)!r}"
                )
        if self.num_items > MOST_ITEMS:
            raise ValueError(
                f"contract.num_items: expected at most {MOST_ITEMS}, got {self.num_items}"
            )

    @cached_property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Input tensors; `channel` and `allow` are there only where channels and categories are."""
        specs = [
            TensorSpec(name=ITEM, dtype=self.item_dtype, shape=(self.length,)),
            TensorSpec(name=ACTION, dtype="INT32", shape=(self.length,)),
            TensorSpec(name=AGE_S, dtype="FP32", shape=(self.length,)),
            TensorSpec(name=HOUR, dtype="FP32", shape=(1,)),
            TensorSpec(name=TARGET_ACTION, dtype="INT32", shape=(1,)),
            TensorSpec(name=EXCLUDE, dtype=self.item_dtype, shape=(self.max_exclude,)),
        ]
        if self.channels:
            specs.insert(2, TensorSpec(name=CHANNEL, dtype="INT32", shape=(self.length,)))
        if self.num_intents:
            specs.append(TensorSpec(name=ALLOW, dtype="BYTES", shape=(self.max_allow,)))
        return tuple(specs)

    @cached_property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Output tensors; one that a caller does not request need not be computed.

        Of intents, channels, hours and purchase those are there that the log could teach.
        """
        specs = [
            TensorSpec(name=NEXT_ITEM, dtype=self.item_dtype, shape=(self.num_items,)),
            TensorSpec(name=SCORE, dtype="FP32", shape=(self.num_items,)),
            TensorSpec(name=COUNT, dtype="INT32", shape=(1,)),
        ]
        if self.num_intents:
            specs += [
                TensorSpec(name=INTENT, dtype="BYTES", shape=(self.num_intents,)),
                TensorSpec(name=INTENT_SCORE, dtype="FP32", shape=(self.num_intents,)),
            ]
        for name, size in (
            (CHANNEL_SCORE, len(self.channels)),
            (HOUR_SCORE, HOURS if self.has_hours else 0),
            (PURCHASE, 1 if self.has_purchase else 0),
        ):
            specs += [TensorSpec(name=name, dtype="FP32", shape=(size,))] if size else []
        return (
            *specs,
            TensorSpec(name=VISITOR_EMBEDDING, dtype="FP32", shape=(self.embedding_size,)),
            TensorSpec(name=UNKNOWN, dtype="INT32", shape=(1,)),
            TensorSpec(name=VERSION, dtype="INT64", shape=(1,)),
        )

    @property
    def score_outputs(self) -> tuple[str, ...]:
        """Names of the outputs of a caller who wants items with their scores alone."""
        return ITEM_OUTPUTS

"""What ``penchant recommend --visitor`` shows."""

from __future__ import annotations

from collections.abc import Sequence

from penchant.clients.recommendations import Recommendation


def visitor_text(
    answer: Recommendation,
    *,
    who: str,
    num_sent: int,
    k: int,
    num_excluded: int,
    allow: Sequence[str],
) -> str:
    """The answer to one visitor as lines for a terminal.

    Args:
        answer: to her.
        who: the first line.
        num_sent: events that the model was told of, at least 1.
        k: items that were asked for.
        num_excluded: items that were not to be answered.
        allow: categories that were to be kept to.
    """
    lines = [
        who,
        f"{answer.unknown:,} of the newest {num_sent:,} are of items that the model does not know "
        f"({answer.unknown / num_sent:.0%})",
    ]
    pairs = zip(answer.items, answer.scores, strict=True)
    lines += [f"{rank:>4}  {item}  {score:.4f}" for rank, (item, score) in enumerate(pairs, 1)]
    if len(answer.items) < k:
        lines.append(f"      no more than {len(answer.items)} may be answered")
    if num_excluded:
        lines.append(f"never recommended: {num_excluded:,} of --exclude")
    if allow:
        lines.append(f"kept to: {', '.join(allow)}")
    for name, found in (
        ("next category", answer.intents),
        ("channel", answer.channels),
        ("hour", answer.hours),
    ):
        if found:
            lines.append(f"{name}: " + ", ".join(f"{what} {score:.3f}" for what, score in found))
    if answer.purchase is not None:
        lines.append(f"purchase in this session: {answer.purchase:.3f}")
    return "\n".join([*lines, f"model version {answer.version}"])

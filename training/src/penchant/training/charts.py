"""Charts of a report, as SVG to stand inside a page.

Text stays text and takes the page's colour, so that a chart reads on light and dark pages, prints,
and shows names in any script. Colours are told apart by colour-blind readers, and never alone.
"""

import io
import re
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from html import escape

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from penchant.training.audience import Driver
from penchant.training.metrics import Decile, Floats, ScoreBin

BLUE, ORANGE, GREY = "#2f7fc1", "#d9722e", "#8b9199"
INK = "#010203"
"""Stands for the page's text colour until the chart is written."""
LONGEST_NAME = 26
"""Characters of a name before it is cut."""


def calibration_chart(bins: Sequence[ScoreBin], *, goal: str) -> str:
    """What was said against what happened, a dot for each bin, larger where there are more rows."""
    with _style():
        figure, axes = _canvas(height=3.9)
        said = [part.mean_propensity for part in bins]
        happened = [part.observed_rate for part in bins]
        end = min(1.0, 1.08 * max([*said, *happened, 0.01]))
        axes.plot([0, end], [0, end], color=GREY, linestyle="--", label="said = happened")
        axes.plot(said, happened, color=BLUE, linewidth=1)
        sizes = [18 + 400 * part.rows / max(1, sum(b.rows for b in bins)) for part in bins]
        axes.scatter(said, happened, s=sizes, color=BLUE, label="groups of visitors", zorder=3)
        axes.set(xlabel="score the model gave", ylabel=_cut(f"share with {goal}"))
        axes.legend(loc="upper left")
        _percent(axes.xaxis, axes.yaxis)
        return _svg(figure, f"Calibration: scores against observed rates of {goal}")


def gain_chart(deciles: dict[str, list[Decile]], *, goal: str) -> str:
    """Share of all positives reached against share of visitors contacted; models in order."""
    with _style():
        figure, axes = _canvas(height=3.9)
        looks = [(BLUE, "-", 3.5), (ORANGE, "--", 1.5), (INK, "-.", 1.2)]
        for (model, parts), (color, line, width) in zip(deciles.items(), looks, strict=False):
            rows = np.cumsum([0, *(part.rows for part in parts)])
            gain = [0.0, *(part.gain for part in parts)]
            share = rows / max(1, rows[-1])
            axes.plot(share, gain, color=color, linestyle=line, lw=width, label=_cut(model))
        axes.plot([0, 1], [0, 1], color=GREY, ls=":", label="in random order")
        axes.set(xlabel="visitors contacted, best scores first", ylabel=_cut(f"{goal} reached"))
        axes.legend(loc="lower right")
        _percent(axes.xaxis, axes.yaxis)
        return _svg(figure, f"Cumulative gain: share of {goal} reached by contacting the best")


def lift_chart(deciles: Sequence[Decile], *, goal: str) -> str:
    """How many times the average each tenth of the visitors is worth."""
    with _style():
        figure, axes = _canvas(height=3.9)
        lifts = np.nan_to_num([part.lift for part in deciles])
        colors = [BLUE if lift >= 1 else GREY for lift in lifts]
        bars = axes.bar([str(part.decile) for part in deciles], lifts, color=colors)
        axes.bar_label(bars, labels=[f"{lift:.1f}" for lift in lifts], padding=2, fontsize=10)
        axes.axhline(1, color=ORANGE, ls="--", lw=1.2)
        axes.annotate(
            "average", (1, 1), xycoords=("axes fraction", "data"), ha="right", va="bottom"
        )
        axes.set(xlabel="tenth of the visitors, 1 = best scores", ylabel="times the average")
        axes.grid(visible=False, axis="x")
        return _svg(figure, f"Lift of {goal} by decile")


def score_chart(label: Floats, score: Floats, *, goal: str) -> str:
    """How the scores of the two outcomes are spread; `label`, `score` (n,)."""
    with _style():
        figure, axes = _canvas(height=3.9)
        edges = np.linspace(0, max(0.05, float(score.max(initial=0.05))), 26)
        for value, name, color, fill in ((0, "without", GREY, True), (1, "with", ORANGE, False)):
            rows = score[label == value]
            share = np.histogram(rows, edges)[0] / max(1, len(rows))
            axes.stairs(share, edges, color=color, fill=fill, alpha=0.6 if fill else 1, lw=2,
                        label=_cut(f"{name} {goal} ({len(rows):,})"))  # fmt: skip
        axes.set(xlabel="score", ylabel="share of these visitors")
        axes.legend(loc="upper right")
        _percent(axes.xaxis, axes.yaxis)
        return _svg(figure, f"Scores of visitors with and without {goal}")


def driver_chart(drivers: Sequence[Driver]) -> str:
    """How much each feature moves the scores, strongest on top."""
    with _style():
        figure, axes = _canvas(height=0.9 + 0.34 * len(drivers))
        names = [_cut(driver.feature) for driver in drivers]
        place = np.arange(len(drivers))[::-1]
        bars = axes.barh(place, [driver.share for driver in drivers], color=BLUE)
        axes.bar_label(bars, labels=[f"{driver.share:.0%}" for driver in drivers], padding=3)
        axes.set_yticks(place, names)
        axes.set(xlabel="part of all that moves the scores")
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.1)
        _percent(axes.xaxis)
        return _svg(figure, "Features by how much they move the scores")


def effect_chart(driver: Driver) -> str:
    """How the values of one feature move the score: right raises, left lowers."""
    with _style():
        figure, axes = _canvas(height=1.0 + 0.36 * len(driver.effects))
        place = np.arange(len(driver.effects))[::-1]
        reasons = np.array([effect.mean_reason for effect in driver.effects])
        axes.barh(place, reasons, color=[BLUE if reason >= 0 else ORANGE for reason in reasons])
        axes.axvline(0, color=GREY, lw=1)
        names = [f"{_cut(effect.values)} ({effect.rows:,})" for effect in driver.effects]
        axes.set_yticks(place, names)
        limit = max(0.1, 1.1 * float(np.abs(reasons).max(initial=0)))
        axes.set(xlim=(-limit, limit), xlabel="← lowers the score · raises it → (log-odds)")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.grid(visible=False, axis="y")
        return _svg(figure, f"How {driver.feature} moves the score")


def standalone(svg: str) -> str:
    """The same chart as a file of its own, dark on white."""
    head = '<svg xmlns="http://www.w3.org/2000/svg" style="color:#222;background:#fff" '
    return svg.replace("<svg ", head, 1)


def _style() -> AbstractContextManager[None]:
    return mpl.rc_context(
        {
            "svg.fonttype": "none",
            "font.family": "sans-serif",
            "font.size": 11,
            "text.color": INK,
            "axes.labelcolor": INK,
            "axes.edgecolor": GREY,
            "xtick.color": INK,
            "ytick.color": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": GREY,
            "grid.alpha": 0.25,
            "legend.frameon": False,
            "text.parse_math": False,
        }
    )


def _canvas(*, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.6, height), layout="constrained")
    return figure, figure.add_subplot()


def _percent(*axes: Axis) -> None:
    for axis in axes:
        axis.set_major_formatter(PercentFormatter(1.0, decimals=None))


def _cut(name: str) -> str:
    plain = " ".join(name.split())
    return plain if len(plain) <= LONGEST_NAME else plain[: LONGEST_NAME - 1] + "…"


def _svg(figure: Figure, title: str) -> str:
    """The figure as an `<svg>` that fits its place in a page, names itself and loads nothing."""
    buffer = io.StringIO()
    with warnings.catch_warnings():  # letters that this font lacks are drawn by the browser's
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        figure.savefig(buffer, format="svg", transparent=True)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.S)
    box = re.search(r'viewBox="[^"]*"', svg)
    assert box
    name = escape(title)
    head = f'<svg {box[0]} role="img" aria-label="{name}"><title>{name}</title>'
    svg = re.sub(r"^<svg[^>]*>", lambda _: head, svg)
    return _own_ids(svg.replace("xlink:href", "href").replace(INK, "currentColor"), title)


def _own_ids(svg: str, title: str) -> str:
    """Keep only ids that are used, with a prefix, so that several charts fit on one page."""
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    prefix = re.sub(r"\W+", "-", title.lower()).strip("-")
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", svg)
    return re.sub(r'(url\(#|href="#)', lambda m: f"{m[1]}{prefix}-", svg)

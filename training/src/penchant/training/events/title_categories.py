"""Categories made from titles, for an item table that has none: TF-IDF, then k-means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

_NUM_DIRECTIONS: Final = 100
_COMMONEST: Final = 0.1
"""A word that more of the titles than this share have says nothing of the category."""
_FEW: Final = 20
"""A word of so few titles is not too common, however few there are."""
_NAME_WORDS: Final = 3
_WORD: Final = r"(?u)\b[^\W\d_]{3,}\b"
"""Three letters or more, of any script: shorter words join others, numbers are sizes."""


def with_title_categories(items: ir.Table, num_categories: int, *, seed: int = 0) -> ir.Table:
    """Canonical items with `category` made from `title`; without a title there is none.

    Args:
        items: Canonical items, each once.
        num_categories: Most categories.
        seed: Of the clustering; the order of the rows does not matter.

    Raises:
        ValueError: The titles have too few words in common to be clustered.
    """
    named = items.filter(items.title.notnull()).select("item_id", "title").to_pyarrow()
    named = named.sort_by([("item_id", "ascending")])
    categories = categorize_titles(named["title"].to_pylist(), num_categories, seed=seed)
    made = ibis.memtable(
        pa.table({"made_key": named["item_id"], "made_category": pa.array(categories, pa.string())})
    )
    joined = items.left_join(made, items.item_id == made.made_key)
    return joined.mutate(category=joined.made_category).select(*items.columns)


def categorize_titles(titles: Sequence[str], num_categories: int, *, seed: int = 0) -> list[str]:
    """A category for each title, named by the words that set it apart, as in "lunch bag box".

    Args:
        titles: Titles (N,) in any language.
        num_categories: Most categories; fewer where there are fewer different titles.
        seed: Of the clustering.

    Returns:
        Names (N,); the same titles in the same order give the same names.

    Raises:
        ValueError: No word is in two titles.
    """
    vectorizer = TfidfVectorizer(
        token_pattern=_WORD,
        min_df=2,
        max_df=max(_FEW, int(_COMMONEST * len(titles))),
        sublinear_tf=True,
    )
    try:
        weights = vectorizer.fit_transform(titles)
    except ValueError as error:
        raise ValueError(
            "items.categories_from_titles: expected titles with words in common, got "
            f"{len(titles):,} titles in which no word says anything ({error}); set it to 0"
        ) from error
    words = vectorizer.get_feature_names_out()
    # One thread: sums in one order give the same categories on every machine.
    with threadpool_limits(1):
        few = len(words) <= _NUM_DIRECTIONS
        rows = normalize(weights.toarray() if few else _directions(weights, seed))
        num_different = len(np.unique(rows.round(6), axis=0))
        means = KMeans(min(num_categories, num_different), n_init=2, random_state=seed)
        cluster = means.fit_predict(rows)
    names = _names(weights, cluster, words)
    return [names[number] for number in cluster]


def _directions(weights: Any, seed: int) -> NDArray[np.float64]:
    reduced: NDArray[np.float64] = TruncatedSVD(_NUM_DIRECTIONS, random_state=seed).fit_transform(
        weights
    )
    return reduced


def _names(weights: Any, cluster: NDArray[np.int32], words: NDArray[Any]) -> dict[int, str]:
    """Cluster to its heaviest words; further ones where two clusters would share a name."""
    names: dict[int, str] = {}
    taken: Counter[str] = Counter()
    for number in sorted(set(cluster.tolist())):
        mean = np.asarray(weights[cluster == number].mean(axis=0)).ravel()
        best = [words[place] for place in np.argsort(-mean, kind="stable") if mean[place] > 0]
        name = " ".join(best[:_NAME_WORDS]) or "other"
        taken[name] += 1
        names[number] = name if taken[name] == 1 else f"{name} {taken[name]}"
    return names

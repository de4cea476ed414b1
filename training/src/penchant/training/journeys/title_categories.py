"""Categories for a shop that has only product names: titles that share words go together."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.cluster import MiniBatchKMeans
from sklearn.feature_extraction.text import TfidfVectorizer

MOST_WORDS = 5000
"""Most different words and word pairs that titles are compared by."""


def categories_from_titles(
    titles: Sequence[str | None], count: int, *, seed: int = 0
) -> npt.NDArray[np.object_]:
    """Name a category for each title, by k-means over tf-idf of words.

    Args:
        titles: (M,) titles; None or "" where there is none.
        count: Most categories.
        seed: Seed of the clustering.

    Returns:
        (M,) names, the three words that weigh most in the category, as in "mug / red / spotty";
        None for items without a title.
    """
    names = np.full(len(titles), None, dtype=object)
    given = [place for place, title in enumerate(titles) if title and title.strip()]
    if not given:
        return names
    # Digits and single letters say sizes and sets, not kinds of things.
    words = TfidfVectorizer(
        max_features=MOST_WORDS, token_pattern=r"(?u)\b[^\W\d_]{2,}\b", sublinear_tf=True
    )
    try:
        matrix = words.fit_transform([str(titles[place]) for place in given])
    except ValueError:  # no title has a word
        return names
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct titles than clusters
        clusters = MiniBatchKMeans(min(count, len(given)), random_state=seed, n_init=3)
        label = clusters.fit_predict(matrix)
    vocabulary = words.get_feature_names_out()
    for cluster, centre in enumerate(clusters.cluster_centers_):
        heavy = [place for place in np.argsort(-centre)[:3] if centre[place] > 0]
        name = " / ".join(vocabulary[heavy]) or "other"
        for place in np.flatnonzero(label == cluster):
            names[given[place]] = name
    return names

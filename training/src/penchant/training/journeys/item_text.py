"""Titles as vectors, so that an item that nobody has met yet lies near those with like words.

Letters: M items, N = M + 2 item codes, F numbers of a vector.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from penchant.training.journeys.catalogue import FIRST_CODE, Catalogue

TEXT_SIZE: Final = 128
"""F."""
WORD: Final = re.compile(r"\w+")


def item_text(catalogue: Catalogue) -> npt.NDArray[np.float32] | None:
    """FP32 (N, F) vectors of length 1 of the titles, 0 for the first two codes and empty titles.

    Words and their three-letter parts are hashed with a sign (Weinberger et al., 2009, Feature
    Hashing for Large Scale Multitask Learning) and weighted by how rare they are.

    Args:
        catalogue: Items with titles, in any language.

    Returns:
        The vectors; None where items have no titles.
    """
    if not any(catalogue.title):
        return None
    terms = [list(_terms(title)) for title in catalogue.title]
    row = np.repeat(np.arange(len(terms)), [len(each) for each in terms])
    term = np.array([code for each in terms for code in each], np.int64)
    names, place = np.unique(term, return_inverse=True)
    seen_in = np.bincount(np.unique(np.stack([row, place]), axis=1)[1], minlength=len(names))
    weight = np.log((1 + len(terms)) / (1 + seen_in))
    sign = np.where(term & 1, 1.0, -1.0)
    vectors = np.zeros((len(terms) + FIRST_CODE, TEXT_SIZE), np.float32)
    np.add.at(vectors, (row + FIRST_CODE, (term >> 1) % TEXT_SIZE), sign * weight[place])
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: npt.NDArray[np.float32] = vectors / np.maximum(length, 1e-6)
    return scaled


def _terms(title: str) -> Iterator[int]:
    """Hashes of a title's words and of their parts of three letters."""
    for word in WORD.findall(title.casefold()):
        yield zlib.crc32(word.encode())
        framed = f"<{word}>"
        for start in range(len(framed) - 2):
            yield zlib.crc32(framed[start : start + 3].encode(), 1)

"""Which texts are duplicates: exact ones by their normal form, near ones by MinHash, each checked by its true Jaccard.

Broder 1997, with banding (Leskovec et al., Mining of Massive Datasets, ch. 3). Out of core: signatures, band keys and
n-grams go to a scratch folder, and memory holds a few numbers a text (about 100 bytes). Earlier texts are kept: their
order is the preference. A text is only ever dropped for one that is kept and that it is itself similar to.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from factory.grams import I64, U64, Words, digests, grams, stir, words

U32 = NDArray[np.uint32]
NEIGHBOURS = 16
"""In a bucket each text is compared with so many that follow; what is farther apart meets through those between."""
SLACK = 0.15
"""An estimate that is so far below the threshold is not checked: four standard deviations of 120 hashes at 0.8."""
BLOCK, AT_ONCE = 1 << 9, 1 << 18
"""N-grams that are hashed together: with every hash they fill the cache and no more; those compared together."""


@dataclass(frozen=True)
class Near:
    """What a near duplicate is: a Jaccard of `threshold` over sets of `words` words in a row; `bands` × `rows` hashes.

    With 20 × 6 a pair of Jaccard 0.8 is met with probability 1 - (1 - 0.8^6)^20 = 0.998, one of 0.6 with 0.62.
    """

    threshold: float = 0.8
    words: int = 5
    bands: int = 20
    rows: int = 6


class Text(NamedTuple):
    """`kin`: near duplicates are of equal kin only."""

    text: str
    kin: str


class Duplicate(NamedTuple):
    """Text number `item` is dropped for number `kept`, to which it has this Jaccard; exact: of one normal form."""

    item: int
    kept: int
    exact: bool
    jaccard: float


class Index:
    """The texts that were added, in a scratch folder. `add` every batch, then ask `pairs` or `duplicates` once."""

    def __init__(self, near: Near, scratch: Path) -> None:
        self.near, self.scratch = near, scratch
        rng = np.random.default_rng(61)
        hashes = near.bands * near.rows
        self._factors = rng.integers(0, 1 << 32, hashes, np.uint32) | np.uint32(1)
        self._sizes: list[I64] = []
        self._normal: list[U64] = []
        self._kin: list[U64] = []
        self._files = {name: (scratch / name).open("wb") for name in ("grams", "signatures", *map(str, range(
            near.bands)))}

    def add(self, batch: Sequence[Text]) -> None:
        """The next texts."""
        texts = [item.text for item in batch]
        sets = _sets(grams(words(texts), self.near.words))
        signed = self.signatures(*sets)
        counts = np.diff(sets[1])
        sets[0].tofile(self._files["grams"])
        signed.tofile(self._files["signatures"])
        for band, keys in enumerate(self._bands(signed, counts)):
            keys.tofile(self._files[str(band)])
        self._sizes.append(counts)
        self._normal.append(digests(texts))
        self._kin.append(digests([item.kin for item in batch]))

    def signatures(self, values: U32, bounds: I64) -> U32:
        """For each set of values the least of each hash; all bits for an empty set."""
        signed = np.full((len(bounds) - 1, len(self._factors)), 0xFFFFFFFF, np.uint32)
        room = np.empty((BLOCK, len(self._factors)), np.uint32)

        def hashed(first: int, last: int) -> U32:  # times an odd number: a bijection of 32 bits for each hash
            np.multiply(values[first:last, None], self._factors, out=room[:last - first])
            return room[:last - first]

        for first, last in _blocks(bounds, BLOCK):
            begin, end = int(bounds[first]), int(bounds[last])
            if end - begin > BLOCK:  # one long text
                for at in range(begin, end, BLOCK):
                    np.minimum(signed[first], hashed(at, min(at + BLOCK, end)).min(0), out=signed[first])
            elif end > begin:
                filled = np.flatnonzero(np.diff(bounds[first:last + 1])) + first
                signed[filled] = np.minimum.reduceat(hashed(begin, end), bounds[filled] - begin, axis=0)
        return signed

    def _bands(self, signed: U32, counts: I64) -> Iterator[U64]:
        """The key of every text in each band; texts without words get keys of their own."""
        keys = np.zeros((len(signed), self.near.bands), np.uint64)
        for row in range(self.near.rows):
            keys = stir(keys + signed[:, row::self.near.rows])
        alone = np.flatnonzero(counts == 0)
        keys[alone] = stir(np.uint64(sum(map(len, self._sizes)) << 20) + alone.astype(np.uint64))[:, None]
        yield from keys.T

    # -- asking --------------------------------------------------------------------------------------------------

    def _close(self) -> None:
        for file in self._files.values():
            file.close()
        self._size = np.concatenate([*self._sizes, np.empty(0, np.int64)])
        self._ends = np.cumsum(self._size)
        self._kins = np.concatenate([*self._kin, np.empty(0, np.uint64)])
        self._grams = _mapped(self.scratch / "grams", np.uint32)
        self._signed = _mapped(self.scratch / "signatures", np.uint32).reshape(-1, len(self._factors))

    def jaccards(self, first: I64, second: I64) -> NDArray[np.float64]:
        """The true ones, of the sets of n-grams, for pairs of texts."""
        found = np.zeros(len(first))
        sizes = self._size[first] + self._size[second]
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        for low, high in _blocks(bounds, AT_ONCE):
            both = self._common(first[low:high], second[low:high])
            found[low:high] = both / np.maximum(1, sizes[low:high] - both)
        return found

    def _common(self, first: I64, second: I64) -> I64:
        """How many n-grams each pair has in common: those that stand twice when its two sets are sorted together."""
        texts = np.stack([first, second], 1).ravel()
        sizes = self._size[texts]
        ends = np.cumsum(sizes)
        at = np.arange(ends[-1]) + np.repeat(self._ends[texts] - ends, sizes)
        pair = np.repeat(np.arange(len(texts), dtype=np.uint64) // np.uint64(2), sizes)
        keys = np.sort(pair << np.uint64(32) | self._grams[at])
        return np.bincount((keys[1:][keys[1:] == keys[:-1]] >> np.uint64(32)).astype(np.int64), minlength=len(first))

    def clusters(self) -> tuple[I64, I64]:
        """(the first text of its normal form, the first text of its cluster of near duplicates) for each text."""
        self._close()
        exact = _firsts(np.concatenate([*self._normal, np.empty(0, np.uint64)]))
        alone = np.flatnonzero(exact == np.arange(len(exact)))
        root = np.arange(len(exact))
        for band in range(self.near.bands):
            keys = _mapped(self.scratch / str(band), np.uint64)[alone]
            order = np.argsort(keys, kind="stable")
            for apart in range(1, NEIGHBOURS + 1):
                met = np.flatnonzero(keys[order[apart:]] == keys[order[:-apart]])
                if not len(met):
                    break
                root = self._joined(root, alone[order[met]], alone[order[met + apart]])
        return exact, root

    def _joined(self, root: I64, first: I64, second: I64) -> I64:
        """`root` after joining those pairs that are near duplicates indeed."""
        fresh = (root[first] != root[second]) & (self._kins[first] == self._kins[second])
        first, second = first[fresh], second[fresh]
        likely = [np.flatnonzero((self._signed[first[i:i + BLOCK]] == self._signed[second[i:i + BLOCK]]).mean(1)
                                 >= self.near.threshold - SLACK) + i for i in range(0, len(first), BLOCK)]
        pairs = np.concatenate([*likely, np.empty(0, np.int64)]).astype(np.int64)
        near = pairs[self.jaccards(first[pairs], second[pairs]) >= self.near.threshold]
        for a, b in zip(first[near].tolist(), second[near].tolist(), strict=True):
            low, high = sorted((_find(root, a), _find(root, b)))
            root[high] = low
        while (root != root[root]).any():
            root = root[root]
        return root

    def duplicates(self) -> Iterator[Duplicate]:
        """Every text that is dropped, in order."""
        exact, root = self.clusters()
        first = exact == np.arange(len(exact))
        drops = self._near_ones(root, np.flatnonzero(first & (root != np.arange(len(root)))))
        for index in np.flatnonzero(~first).tolist():
            same = int(exact[index])
            drops[index] = drops[same]._replace(item=index) if same in drops else Duplicate(index, same, True, 1.0)
        return (drops[index] for index in sorted(drops))

    def _near_ones(self, root: I64, items: I64) -> dict[int, Duplicate]:
        """Those of `items` that are like a kept text of their cluster: like its first, or like one that is not."""
        scores = self.jaccards(root[items], items)
        drops: dict[int, Duplicate] = {}
        kept: dict[int, list[int]] = {}
        for index, head, score in zip(items.tolist(), root[items].tolist(), scores.tolist(), strict=True):
            rivals = kept.setdefault(head, [])
            best, jaccard = head, score
            if score < self.near.threshold and rivals:
                others = self.jaccards(np.array(rivals), np.full(len(rivals), index))
                best, jaccard = rivals[int(others.argmax())], float(others.max())
            if jaccard >= self.near.threshold:
                drops[index] = Duplicate(index, best, False, jaccard)
            else:
                rivals.append(index)
        return drops


def _sets(found: Words) -> tuple[U32, I64]:
    """The n-grams of each text in order, each once, in 32 bits: of two sets of 2,000 strangers 1 in 1,000 meets one."""
    owner = np.repeat(np.arange(len(found.counts), dtype=np.uint64), found.counts)
    keys = np.sort(owner << np.uint64(32) | stir(found.hashes) >> np.uint64(32))
    if len(keys):
        keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
    counts = np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=len(found.counts))
    return keys.astype(np.uint32), np.concatenate([[0], np.cumsum(counts)])


def _blocks(bounds: I64, size: int) -> Iterator[tuple[int, int]]:
    """Ranges of texts of about `size` n-grams; a longer text is a range of its own."""
    first = 0
    while first < len(bounds) - 1:
        last = max(first + 1, int(np.searchsorted(bounds, bounds[first] + size, "right")) - 1)
        yield first, last
        first = last


def _firsts(keys: U64) -> I64:
    """For each key the place where it stands first."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first[inverse]


def _find(root: I64, index: int) -> int:
    while root[index] != index:
        root[index] = root[root[index]]
        index = int(root[index])
    return index


def _mapped(path: Path, kind: type[np.generic]) -> NDArray[np.generic]:
    return np.memmap(path, kind, "r") if path.stat().st_size else np.empty(0, kind)


def build(batches: Iterable[Sequence[Text]], near: Near, scratch: Path) -> Index:
    """An index of every batch."""
    index = Index(near, scratch)
    for batch in batches:
        index.add(batch)
    return index

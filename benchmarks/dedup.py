"""Near duplicates beside datatrove's MinHash: the same texts, n-grams and bands; seconds on one core, and recall.

    .venv/bin/python -m benchmarks.dedup [FOLDER] [DATATROVE]

FOLDER (default ../shared/data) holds problems/ and traces/. DATATROVE is the Python of an environment with datatrove,
xxhash and spacy; by default one is made under the temporary folder. Recall is the share of the pairs with a true
Jaccard of 0.8 or more (found exhaustively) that end in one cluster. datatrove checks no pair, and is run as it comes
(words by spaCy, numbers kept) and with words between blanks, which is its quickest way. Prints a table and exits 1
when ours is not 5 times as quick as that, or misses 1 % of the pairs.
"""

import gzip
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.machine import machine
from factory.grams import I64, batches
from factory.minhash import Index, Near, Text

NEAR = Near()
FASTER, RECALL = 5.0, 0.99
ENVIRONMENT = Path(tempfile.gettempdir()) / "cot-datatrove"
PEER = r"""
import json, sys, tempfile, time
import numpy as np
from datatrove.data import Document
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.utils.text import TextNormConfig
texts, bands, rows, words, plain = json.load(open(sys.argv[1])), *map(int, sys.argv[2:6])
config = MinhashConfig(n_grams=words, num_buckets=bands, hashes_per_bucket=rows,
                       norm_config=TextNormConfig(norm_numbers=False))
class Blanks:
    def word_tokenize(self, text):
        return text.split()
with tempfile.TemporaryDirectory() as folder:
    sign = MinhashDedupSignature(folder + "/signatures", config)
    if plain:
        sign.word_tokenizer = Blanks()
    sign.get_shingles("warm up the tokenizer with a few words")
    began = time.process_time()
    sign.run(iter([Document(text=text, id=str(i)) for i, text in enumerate(texts)]))
    signed = time.process_time() - began
    for bucket in range(bands):
        MinhashDedupBuckets(folder + "/signatures", folder + "/pairs", config=config).run(None, bucket, bands)
    seconds = time.process_time() - began
    import glob
    pairs = np.concatenate([np.fromfile(file, "<u4").reshape(-1, 4) for file in glob.glob(folder + "/pairs/**/*.dups",
                                                                                       recursive=True)])
print(json.dumps({"seconds": seconds, "signed": signed, "pairs": pairs[:, [1, 3]].tolist()}))
"""


def read(folder: Path, name: str, column: str) -> list[str]:
    texts: list[str] = []
    for file in sorted((folder / name).glob("*.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)[column] for line in lines]
    return texts


def corpus(folder: Path) -> list[str]:
    """Problems, traces, and of a part of both copies in which a few words are others, left out or said twice."""
    rng = random.Random(6)
    problems, traces = read(folder, "problems", "problem"), read(folder, "traces", "trace")
    texts = rng.sample(problems, min(12_000, len(problems))) + rng.sample(traces, min(1_500, len(traces)))
    texts += [perturbed(rng, text) for text in rng.sample(texts, len(texts) // 4)]
    rng.shuffle(texts)
    return texts


def perturbed(rng: random.Random, text: str) -> str:
    words = text.split(" ")
    for _ in range(rng.randint(1, max(1, len(words) // 40))):
        at = rng.randrange(len(words))
        words[at] = rng.choice(["", f"{words[at]} {words[at]}", rng.choice(words)])
    return " ".join(words)


def true_pairs(index: Index, threshold: float) -> tuple[I64, I64]:
    """Every pair of texts of that Jaccard or more: two such sets share one of their rarest grams (prefix filter)."""
    size, ends = index._size, index._ends
    _, ranks, counts = np.unique(index._grams, return_inverse=True, return_counts=True)
    order = np.argsort(np.argsort(counts, kind="stable"))[ranks]
    owner = np.repeat(np.arange(len(size)), size)
    sorted_at = np.lexsort((order, owner))
    place = np.arange(len(owner)) - np.repeat(ends - size, size)
    prefix = sorted_at[place < np.repeat(size - np.ceil(threshold * size).astype(np.int64) + 1, size)]
    by_gram = prefix[np.lexsort((owner[prefix], order[prefix]))]
    gram, text = order[by_gram], owner[by_gram]
    found: set[int] = set()
    for apart in range(1, len(text)):
        met = np.flatnonzero(gram[apart:] == gram[:-apart])
        if not len(met):
            break
        found |= set((text[met] * len(size) + text[met + apart]).tolist())
    pairs = np.array(sorted(found), np.int64)
    first, second = pairs // len(size), pairs % len(size)
    near = index.jaccards(first, second) >= threshold
    return first[near], second[near]


def joined(pairs: Sequence[Sequence[int]], size: int) -> I64:
    """The cluster of each text."""
    root = list(range(size))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i
    for a, b in pairs:
        root[find(a)] = find(b)
    return np.array([find(i) for i in range(size)])


def environment(given: list[str]) -> str:
    """A Python with datatrove."""
    if given:
        return given[0]
    if not (ENVIRONMENT / "bin/python").exists():
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
    done = subprocess.run([ENVIRONMENT / "bin/pip", "install", "-q", "datatrove==0.10.1", "xxhash<4", "spacy",
                           "tokenizers", "nltk"], stderr=subprocess.DEVNULL)
    if done.returncode:
        sys.exit("datatrove cannot be installed here: name the Python of an environment that has it as second argument")
    return str(ENVIRONMENT / "bin/python")


def theirs(python: str, texts: list[str], plain: bool) -> tuple[float, I64]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "texts.json").write_text(json.dumps(texts))
        said = subprocess.run([python, "-c", PEER, f"{folder}/texts.json", *map(str, (
            NEAR.bands, NEAR.rows, NEAR.words, int(plain)))], capture_output=True, text=True, check=True).stdout
    found = json.loads(said.splitlines()[-1])
    return found["seconds"], joined(found["pairs"], len(texts))


def ours(texts: list[str], scratch: Path) -> tuple[float, Index, I64]:
    """Seconds for everything (true Jaccards of the pairs and the choice included), and the clusters."""
    began = time.process_time()
    index = Index(NEAR, scratch)
    for batch in batches(texts):
        index.add([Text(text, "") for text in batch])
    drops = list(index.duplicates())
    seconds = time.process_time() - began
    exact, root = index.clusters()
    assert all(drop.exact or drop.jaccard >= NEAR.threshold for drop in drops)
    return seconds, index, root[exact]


def lines(name: str, seconds: float, clusters: I64, pairs: tuple[I64, I64], words: int) -> Iterator[str]:
    recall = float((clusters[pairs[0]] == clusters[pairs[1]]).mean())
    dropped = len(clusters) - len(np.unique(clusters))
    yield f"| {name} | {seconds:.1f} | {words / seconds / 1e6:.2f} | {recall:.4f} | {dropped:,} |"


def main(folder: Path, python: list[str]) -> int:
    texts = corpus(folder)
    size = sum(map(len, texts))
    with tempfile.TemporaryDirectory() as scratch:
        mine, index, clusters = ours(texts, Path(scratch))
        pairs = true_pairs(index, NEAR.threshold)
    peer = environment(python)
    print(f"{machine()}\n\n{len(texts):,} texts, {size / 1e6:.1f} M characters, {len(pairs[0]):,} pairs of Jaccard 0.8 "
          f"or more; {NEAR.words}-word grams, {NEAR.bands} bands × {NEAR.rows} hashes; one core\n")
    print("| | CPU seconds | M characters/s | recall of pairs | texts dropped |\n|---|---:|---:|---:|---:|")
    print(*lines("this, every pair checked", mine, clusters, pairs, size), sep="\n")
    other = {}
    for name, plain in (("datatrove, words between blanks", True), ("datatrove as it comes (spaCy)", False)):
        other[name], found = theirs(peer, texts, plain)
        print(*lines(name, other[name], found, pairs, size), sep="\n", flush=True)
    quickest = min(other.values()) / mine
    recall = float((clusters[pairs[0]] == clusters[pairs[1]]).mean())
    print(f"\n{quickest:.1f} × datatrove's speed per core at its quickest (target {FASTER:g}), recall {recall:.4f} "
          f"(target {RECALL})")
    return int(quickest < FASTER or recall < RECALL)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data"), sys.argv[2:3]))

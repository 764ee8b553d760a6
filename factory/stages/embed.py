"""Vectors of texts, from an OpenAI-compatible endpoint of embeddings: the table `embeddings`.

For selectors that look for unlike traces and mixtures of unlike problems. Only what lacks a vector of that model is
asked for. A text that the endpoint refuses has none, which is said; a plugin never asks for one.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from array import array
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from factory.lake import Lake
from factory.protocols import UserError
from factory.recipe import Embed, Recipe
from factory.records import canonical, content_id
from factory.run import Run
from factory.stages.mixture import Picked, Vector

Texts = list[tuple[str, str]]
"""(item, text) pairs."""

ATTEMPTS, PATIENCE, GROUP = 4, 300, 16
"""Tries of a request; seconds for an answer; batches that become one part of the table."""
LOCAL = ("127.0.0.1", "localhost", "::1")

LACKING = {
    "problem": """SELECT p.id, left(p.prompt, $2) FROM members m JOIN problems p ON p.id = m.problem_id
        WHERE m.run_id = $1 AND m.part = 'train'""",
    "trace": """SELECT t.id, left(t.raw, $2) FROM run_traces t JOIN problems p ON p.id = t.problem_id
        JOIN judged v ON v.trace_id = t.id AND v.verifier = p.verifier AND v.status = 'correct' WHERE t.run_id = $1"""}
"""Only correct traces: no selector is to take others for their unlikeness."""


class Refused(Exception):
    """The endpoint does not take these texts, in its own words."""


def embed(run: Run) -> int:
    """Ask for every vector that the run lacks; returns how many came. Raises UserError where none can be got."""
    options = run.recipe.embed
    assert options is not None
    total = 0
    for kind in options.of:
        with run.timed("embed", kind) as counts:
            counts["rows"] = _embed(run, options, kind)
            total += counts["rows"]
    return total


def _embed(run: Run, options: Embed, kind: str) -> int:
    cursor = run.lake.sql(f"""SELECT * FROM ({LACKING[kind]}) AS wanted(id, text) WHERE text != '' AND id NOT IN (
        SELECT item FROM embeddings WHERE kind = $3 AND model = $4) ORDER BY id""",
        [run.id, options.characters, kind, key(options)])
    came, refused, reason = 0, 0, ""
    batches = iter(lambda: cursor.fetchmany(options.batch), [])
    with ThreadPoolExecutor(options.concurrency) as pool:
        while group := list(islice(batches, GROUP)):
            found = list(pool.map(lambda texts: _vectors(options, texts), group))
            rows = [_row(options, kind, item, vector) for vectors, _ in found for item, vector in vectors]
            run.lake.append("embeddings", rows)
            came += len(rows)
            refused += sum(map(len, group)) - len(rows)
            reason = next((said for _, said in found if said), reason)
            if not came:
                raise UserError(f"{options.base_url} embeds none of the first {refused} texts ({reason}): see to "
                                "embed.model, or lower embed.characters")
    if refused:
        print(f"embed: {refused} {kind}s have no vector, the last one refused with: {reason}", file=sys.stderr)
    return came


def key(options: Embed) -> str:
    """What determines a vector besides its text; a server of one's own may move about."""
    host = urlsplit(options.base_url).hostname
    return canonical({"model": options.model, "characters": options.characters,
                      **({} if host in LOCAL else {"host": host})})


def _row(options: Embed, kind: str, item: str, vector: list[float]) -> dict[str, Any]:
    return dict(id=content_id("embedding", kind, item, key(options)), item=item, kind=kind, model=key(options),
                vector=vector)


def vectors(lake: Lake, options: Embed, kind: str, items: Sequence[str]) -> dict[str, Vector]:
    """item -> its vector of length 1, for those that have one."""
    cursor = lake.sql("""SELECT item, vector FROM embeddings WHERE kind = $1 AND model = $2
        AND item IN (SELECT unnest($3))""", [kind, key(options), list(items)])
    pages = iter(lambda: cursor.fetchmany(1000), [])
    found = {item: np.array(vector, np.float32) for page in pages for item, vector in page}
    return {item: vector / (float(np.linalg.norm(vector)) or 1.0) for item, vector in found.items()}


def of_traces(run: Run, ids: Sequence[str]) -> dict[str, "array[float]"]:
    """Vectors of traces; none where the recipe does not ask for those of traces."""
    if run.recipe.embed is None or "trace" not in run.recipe.embed.of:
        return {}
    found = vectors(run.lake, run.recipe.embed, "trace", ids)
    return {trace: array("f", vector.tobytes()) for trace, vector in found.items()}


def of_problems(run: Run, picked: Iterable[Picked]) -> dict[str, Vector]:
    """Vectors of the problems that were picked from."""
    assert run.recipe.embed is not None
    return vectors(run.lake, run.recipe.embed, "problem", list({one.problem_id for one in picked}))


def check(recipe: Recipe) -> list[str]:
    """Ask for one vector. Raises UserError where none comes."""
    if recipe.embed is None:
        return []
    found, said = _vectors(recipe.embed, [("", "1 + 1 = 2")])
    if not found:
        raise UserError(f"{recipe.embed.base_url} embeds nothing ({said}): see to embed.model and embed.base_url")
    return [f"embedding {recipe.embed.model}: vectors of {len(found[0][1])} numbers come back"]


# -- asking ----------------------------------------------------------------------------------------------------------


def _vectors(options: Embed, texts: Texts) -> tuple[list[tuple[str, list[float]]], str]:
    """(item, vector) of those that it takes, and why it refuses the others: one text must not spoil its batch."""
    try:
        return list(zip([item for item, _ in texts], _ask(options, [text for _, text in texts]), strict=True)), ""
    except Refused as error:
        if len(texts) == 1:
            return [], str(error)
    each = [_vectors(options, [one]) for one in texts]
    return [pair for found, _ in each for pair in found], next((said for _, said in each if said), "")


def _ask(options: Embed, texts: list[str]) -> list[list[float]]:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _read(_send(options, texts), len(texts))
        except urllib.error.HTTPError as error:
            said = f"{error.code}: {error.read(300).decode('utf-8', 'replace').strip()}"
            if error.code in (400, 413, 422):
                raise Refused(said) from error
            again = error.code in (408, 429) or error.code >= 500
        except OSError as error:
            said, again = f"{error}", True
        if not again or attempt == ATTEMPTS:
            break
        time.sleep(0.5 * 2**attempt)
    raise UserError(f"no embeddings come from {options.base_url} ({said}): start the server, or see to embed.base_url, "
                    "embed.model and embed.key_env; what came already is kept")


def _send(options: Embed, texts: list[str]) -> bytes:
    headers = {"Content-Type": "application/json"}
    if options.key_env:
        headers["Authorization"] = f"Bearer {os.environ.get(options.key_env, '')}"
    request = urllib.request.Request(f"{options.base_url.rstrip('/')}/embeddings", json.dumps(
        {"model": options.model, "input": texts, "encoding_format": "float"}).encode(), headers)
    local = urlsplit(options.base_url).hostname in LOCAL  # no proxy on the way to ourselves
    opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if local else []))
    with opener.open(request, timeout=PATIENCE) as reply:
        return bytes(reply.read())


def _read(body: bytes, wanted: int) -> list[list[float]]:
    try:
        data = sorted(json.loads(body)["data"], key=lambda one: one["index"])
        found = [[float(number) for number in one["embedding"]] for one in data]
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"the reply holds no embeddings ({type(error).__name__})") from error
    if len(found) != wanted or not all(np.isfinite(one).all() and len(one) == len(found[0]) > 0 for one in found):
        raise Refused(f"{len(found)} vectors for {wanted} texts, or vectors that are no numbers")
    return found

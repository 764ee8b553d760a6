"""How many requests may be in flight at one endpoint: a pure state machine, fed by an engine's gauges or by refusals.

An engine is full when the keys and values of its running requests fill its memory: fewer leave it idle, more make it
throw finished work away (a preemption). So the cap grows while KV use is low and the cap is what holds it there, aims
at `AIM`, is trimmed above `HIGH`, and is cut when the engine preempts. Hosted endpoints show no gauges: there a refusal
(429, 503) halves the cap, and answers raise it again by one for each capful.
"""

import math
import re
from collections import defaultdict
from dataclasses import dataclass, replace

LOW, AIM, HIGH = 0.6, 0.7, 0.8
"""Shares of KV memory in use: below LOW the cap may grow, above HIGH it is trimmed so that AIM is met."""

GROWTH, LEAP, CUT = 1.25, 2.0, 0.75
"""Factors of one growth, of one while KV use is not even half of LOW, and of the cut after a preemption."""

BINDS = 0.9
"""Share of the cap in flight at which it binds: a request that has just ended leaves a gap for a moment."""

QUEUE = 0.2
"""Waiting requests as a share of the running ones that keep the engine's queue from ever being empty: enough."""


@dataclass(frozen=True)
class Gauges:
    """One look at an engine: `kv` is the share of KV memory in use, `room` that memory in tokens (0: not said),
    `preemptions` and `tokens` (generated) count from the engine's start."""

    kv: float
    running: int
    waiting: int
    preemptions: int = 0
    tokens: int = 0
    room: int = 0


@dataclass(frozen=True)
class Pace:
    """The cap of one endpoint, never above `limit`; `answers` and the highest KV use (`peak`) since its last change, or
    for the last capful of answers; the engine's last `preemptions`.

    `draining`: the cap was lowered and more is in flight still, so what is seen now was caused before.
    """

    cap: int
    limit: int
    answers: int = 0
    preemptions: int | None = None
    draining: bool = False
    peak: float = 0.0

    def at(self, cap: int) -> "Pace":
        """The same with another cap, within 1 and `limit`."""
        cap = max(1, min(self.limit, cap))
        return self if cap == self.cap else replace(self, cap=cap, answers=0, peak=0.0, draining=cap < self.cap)


def begin(limit: int, room: int, expected: int) -> Pace:
    """The pace to begin with: as many as fit if each of them came to `expected` tokens; `limit` if that is unknown."""
    return Pace(limit, limit).at(room // expected) if room and expected else Pace(limit, limit)


def observe(pace: Pace, gauges: Gauges, in_flight: int) -> Pace:
    """The pace after a look at the engine.

    Requests that began together are old together, so KV use goes up and down: it may grow by the highest of a capful.
    """
    fresh = gauges.preemptions - (gauges.preemptions if pace.preemptions is None else pace.preemptions)
    pace = replace(pace, preemptions=gauges.preemptions, draining=pace.draining and in_flight > pace.cap,
                   peak=max(pace.peak, gauges.kv))
    if pace.draining:
        return pace
    if fresh > 0:
        return pace.at(int(min(pace.cap, in_flight) * CUT))
    if gauges.kv > HIGH:
        return pace.at(min(pace.cap, int(in_flight * AIM / gauges.kv)))
    binds = in_flight >= BINDS * pace.cap and gauges.waiting <= QUEUE * gauges.running
    if pace.answers >= pace.cap and pace.peak >= LOW:
        return replace(pace, answers=0, peak=0.0)  # the next capful may be another
    if pace.answers >= pace.cap and binds:
        aim = int(in_flight * AIM / pace.peak) if pace.peak > 0 else pace.limit
        factor = LEAP if pace.peak < LOW / 2 else GROWTH
        return pace.at(min(math.ceil(pace.cap * factor), max(aim, pace.cap)))
    return pace


def refused(pace: Pace, in_flight: int) -> Pace:
    """The pace after a 429 or 503; those that were under way with the first one do not count again."""
    return pace if pace.draining and in_flight > pace.cap else pace.at(min(pace.cap, in_flight) // 2)


def answered(pace: Pace, in_flight: int, gauged: bool) -> Pace:
    """The pace after an answer; without gauges, a capful of them raises it by one."""
    pace = replace(pace, answers=pace.answers + 1, draining=pace.draining and in_flight > pace.cap)
    return pace.at(pace.cap + 1) if not gauged and pace.answers >= pace.cap else pace


# -- what /metrics says ----------------------------------------------------------------------------------------------

KV = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "vllm:cpu_cache_usage_perc")
"""Names of one gauge in vLLM's versions, the newest first."""

_LINE = re.compile(r"^(vllm:\w+)(?:\{(.*)\})? ([-+.\deE]+)$", re.MULTILINE)
_BLOCKS, _BLOCK = re.compile(r'num_gpu_blocks="(\d+)"'), re.compile(r'block_size="(\d+)"')


def read_gauges(text: str) -> Gauges | None:
    """The gauges in a vLLM server's /metrics, over all its engines (the fullest one's KV use); None if it has none."""
    found: dict[str, list[float]] = defaultdict(list)
    room = 0
    for name, labels, value in _LINE.findall(text):
        found[name].append(float(value))
        if name == "vllm:cache_config_info" and (blocks := _BLOCKS.search(labels)) and (size := _BLOCK.search(labels)):
            room += int(blocks[1]) * int(size[1])
    kv = next((max(found[name]) for name in KV if found[name]), None)
    if kv is None:
        return None

    def total(*names: str) -> int:
        return int(next((sum(found[name]) for name in names if found[name]), 0))

    return Gauges(kv, total("vllm:num_requests_running"), total("vllm:num_requests_waiting"),
                  total("vllm:num_preemptions_total", "vllm:num_preemptions"),
                  total("vllm:generation_tokens_total", "vllm:generation_tokens"), room)

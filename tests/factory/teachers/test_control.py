"""The state machine of the concurrency, by tables: looks at an engine, answers and refusals in, a cap out."""

import random
from dataclasses import replace

import pytest

from factory.teachers._control import Gauges, Pace, answered, begin, observe, read_gauges, refused


def gauges(kv: float, running: int = 100, waiting: int = 0, preemptions: int = 0) -> Gauges:
    return Gauges(kv, running, waiting, preemptions)


@pytest.mark.parametrize(("limit", "room", "expected", "cap"), [
    (512, 0, 0, 512), (512, 100_000, 0, 512), (512, 0, 1000, 512), (512, 100_000, 1000, 100), (50, 100_000, 1000, 50),
    (512, 100, 1000, 1)])
def test_it_begins_with_what_fits_if_every_answer_came_to_the_most(limit: int, room: int, expected: int,
                                                                   cap: int) -> None:
    assert begin(limit, room, expected).cap == cap


@pytest.mark.parametrize(("name", "kv", "waiting", "in_flight", "answers", "cap"), [
    ("low and binding: grows", 0.5, 0, 100, 100, 125),
    ("very low and binding: doubles", 0.2, 0, 100, 100, 200),
    ("never past what brings KV use to 0.7", 0.59, 0, 100, 100, 118),
    ("empty: as far as a step goes", 0.0, 0, 100, 100, 200),
    ("only after a capful of answers: before, the requests are young", 0.5, 0, 100, 99, 100),
    ("not while fewer are in flight than may be", 0.5, 0, 80, 100, 100),
    ("nearly all is all", 0.5, 0, 95, 100, 125),
    ("not while the engine has a queue that feeds it", 0.5, 21, 100, 100, 100),
    ("a short queue is what is wanted", 0.5, 20, 100, 100, 125),
    ("in between it stays", 0.7, 0, 100, 100, 100),
    ("just at the top it stays", 0.8, 0, 100, 100, 100),
    ("above, it is trimmed to bring KV use to 0.7", 0.9, 0, 100, 100, 77),
    ("full", 1.0, 0, 100, 0, 70),
    ("trimmed by what is in flight, not by what might be", 0.9, 0, 50, 0, 38),
])
def test_one_look(name: str, kv: float, waiting: int, in_flight: int, answers: int, cap: int) -> None:
    assert observe(Pace(100, 512, answers, 0), gauges(kv, waiting=waiting), in_flight).cap == cap, name


def test_a_preemption_cuts_once_until_the_cut_is_in_force() -> None:
    pace = observe(Pace(100, 512), gauges(0.75, preemptions=7), 100)
    assert (pace.cap, pace.preemptions) == (100, 7), "what was before us is not our doing"
    pace = observe(pace, gauges(0.75, preemptions=9), 100)
    assert pace.cap == 75
    assert observe(pace, gauges(0.99, preemptions=12), 90).cap == 75, "still draining"
    settled = observe(pace, gauges(0.75, preemptions=12), 75)
    assert settled.cap == 56, "drained, and it preempts still"
    assert observe(observe(pace, gauges(0.7, preemptions=12), 90), gauges(0.7, preemptions=12), 75).cap == 75


def test_a_restarted_engine_counts_from_0_and_that_cuts_nothing() -> None:
    assert observe(Pace(100, 512, 0, 50), gauges(0.7, preemptions=0), 100).cap == 100


def test_a_refusal_halves_once_for_all_that_were_under_way() -> None:
    pace = refused(Pace(64, 64), 64)
    assert pace.cap == 32
    for in_flight in range(63, 32, -1):
        pace = refused(pace, in_flight)
    assert pace.cap == 32
    assert refused(pace, 32).cap == 16
    assert refused(Pace(1, 64), 1).cap == 1


def test_a_capful_of_answers_raises_it_by_one_where_there_are_no_gauges() -> None:
    pace = replace(refused(Pace(8, 8), 8), draining=False)
    caps = []
    for _ in range(4 + 5 + 6 + 7 + 8):
        pace = answered(pace, pace.cap, gauged=False)
        caps.append(pace.cap)
    assert [caps[i] for i in (2, 3, 8, 14, 21, 29)] == [4, 5, 6, 7, 8, 8], "and never above the limit"
    assert answered(Pace(4, 8, 100), 4, gauged=True).cap == 4


@pytest.mark.parametrize("length", [100, 200, 400])
def test_in_a_simulated_engine_it_settles_near_the_aim_without_preemptions(length: int) -> None:
    """Requests of random lengths around `length`, one token each a tick, in an engine of 20,000 tokens."""
    room, draw = 20_000, random.Random(length)
    pace, flying, preemptions, history = begin(4096, room, 8 * length), list[list[int]](), 0, list[tuple[float, int]]()
    for tick in range(30 * length):
        while len(flying) < pace.cap:
            flying.append([0, draw.randint(length // 2, length * 3 // 2)])
        for request in flying:
            request[0] += 1
        ended = sum(request[0] >= request[1] for request in flying)
        flying = [request for request in flying if request[0] < request[1]]
        for _ in range(ended):
            pace = answered(pace, len(flying), gauged=True)
        if tick % (length // 20) == 0:
            used = sum(request[0] for request in flying) / room
            preemptions += used > 1
            pace = observe(pace, Gauges(min(1.0, used), len(flying), 0, preemptions), len(flying) + ended)
            history.append((used, preemptions))
    late = [used for used, _ in history[len(history) // 2:]]
    assert preemptions == history[len(history) // 2][1], "none once the first requests, all of one age, are through"
    assert 0.55 < sum(late) / len(late) < 0.8
    assert max(late) < 0.95


METRICS = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 4.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting{engine="1",model_name="m"} 0.0
vllm:%(kv)s{engine="0",model_name="m"} 0.25
vllm:%(kv)s{engine="1",model_name="m"} 0.5
vllm:num_preemptions%(end)s{engine="0",model_name="m"} 1.0
vllm:generation_tokens%(end)s{engine="0",model_name="m"} 1.234e+06
vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="0",num_gpu_blocks="1000"} 1.0
process_cpu_seconds_total 12.5
"""


@pytest.mark.parametrize(("kv", "end"), [
    ("kv_cache_usage_perc", "_total"), ("gpu_cache_usage_perc", "_total"), ("gpu_cache_usage_perc", ""),
    ("cpu_cache_usage_perc", "")])
def test_the_metrics_of_old_and_new_versions_are_read(kv: str, end: str) -> None:
    assert read_gauges(METRICS % {"kv": kv, "end": end}) == Gauges(0.5, 7, 2, 1, 1_234_000, 16_000)


@pytest.mark.parametrize("text", ["", "<html>", "process_cpu_seconds_total 1\n", "vllm:num_requests_running 3\n"])
def test_a_page_without_the_gauges_is_none(text: str) -> None:
    assert read_gauges(text) is None


def test_it_grows_by_the_highest_use_of_a_capful_not_by_a_trough() -> None:
    high = observe(Pace(100, 512, 0, 0), gauges(0.75), 100)
    assert observe(replace(high, answers=100), gauges(0.3), 100).cap == 100

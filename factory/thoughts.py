"""Tell a model's thinking from its response, whatever the endpoint sends: tags in the text, or a field of their own.

What lies between the first `<think>` and the last `</think>` is thinking, and text with an unclosed thought has no
response: in doubt it is thinking, because the response is what gets verified, and a doubtful one must not pass.
The text as it came is kept beside this split (`Completion.raw`), so both sides are stripped here.
"""

OPEN, CLOSE = "<think>", "</think>"


def split(text: str, reasoning: str | None = None) -> tuple[str, str]:
    """(thinking, response). `reasoning` is the endpoint's own field: when it holds something, `text` is the response.

    >>> split("<think>2+2=4</think>The answer is 4.")
    ('2+2=4', 'The answer is 4.')
    """
    if reasoning:
        return reasoning.strip(), text.strip()
    opened, closed, end = text.find(OPEN), text.find(CLOSE), text.rfind(CLOSE)
    if opened < 0 and closed < 0:
        return "", text.strip()
    if text.rfind(OPEN) > end:  # opened, perhaps for the second time, and cut off
        return text.strip().removeprefix(OPEN).strip(), ""
    begin = opened if 0 <= opened < closed else 0  # no opening tag: the chat template had written it
    thinking = text[begin:end].removeprefix(OPEN)
    return thinking.strip(), (text[:begin] + text[end + len(CLOSE):]).strip()


def join(reasoning: str, text: str, closed: bool) -> str:
    """One text out of an endpoint's two fields, as the model would have written it with tags."""
    return f"{OPEN}{reasoning}{CLOSE if closed else ''}{text}"

"""Well-known teachers whose terms forbid that other models learn from what they write.

No legal advice, and not complete: a hint that stops an export until somebody has looked. What a recipe says in
`teacher_terms` takes the place of this table.
"""

import re
from collections.abc import Mapping
from typing import Any

KNOWN = (
    (r"(^|\.)openai\.com | openai\.azure\.com | \bgpt-[345] | (^|/)chatgpt-",
     "OpenAI, Terms of Use of 2024-12-11: no training of competing models"),
    (r"(^|/)o[134](-mini|-preview|-pro)?(-20\d\d.*)?$",
     "OpenAI, Terms of Use of 2024-12-11: no training of competing models"),
    (r"(^|\.)anthropic\.com | \bclaude-", "Anthropic, Commercial Terms of 2025-06-17: no training of competing models"),
    (r"generativelanguage\. | \bgemini-\d", "Google, Gemini API Terms of 2025: no training of competing models"),
    (r"(^|\.)x\.ai$ | (^|/)grok-[2-9]", "xAI, Terms of Service of 2025: no training of competing models"),
    (r"\bllama-?3-\d", "Meta, Llama 3 Community License of 2024-04-18: no training of other models than Llama 3"),
    (r"\bllama-?2-\d | \bcodellama", "Meta, Llama 2 Community License of 2023-07-18: no training of other models"),
    (r"\bqwen-(1_8|7|14|72)b", "Alibaba, Tongyi Qianwen License of 2023-08-03: no training of other models"),
)
"""(regular expression over the host or the model's name, what its terms of that date say), from memory in 2025 and not
compared with the pages since: read the terms themselves before you rely on them. Models of open weights whose licences
allow it (gpt-oss, Llama 3.1 and later, Qwen2 and later, DeepSeek) are not in it."""


_LEARN = (r"(distil|(?<!commercial )train|fine[\W_]?tun|machine[\W_]learning|(?<![a-z])(ml|ai)(?![a-z]|[\W_]?gener)"
          r"|(develop|improv|build|creat)\w*[^.;,]{0,40}(models?\b|\bai\b))")
_GAP = (r"((?!commercial|restrict|limit|condition|requir|need|fee|charge|attribut|credit|objection|problem|cost)"
        r"[^.;,\n]){0,80}?")
"""Words between two parts of one clause, none of which turns its meaning."""
_NOT = (r"(?<![a-z])(?<!need )(no|not|never|neither|nor|without|cannot|[a-z]+n[’']t)(?![a-z])"
        r"(?![\W_]*(only|just|merely|forb|prohib|disallow))")
_FORBID = r"(?<!not )(?<!never )(?<!n't )(forb[ia]d|prohibit|disallow|(?<![a-z])bann|preclud|exclud)"

AGAINST = {
    "no training": "|".join((
        rf"{_NOT}{_GAP}{_LEARN}",
        rf"{_FORBID}\w*(?! commercial){_GAP}{_LEARN}",
        rf"{_LEARN}{_GAP}({_FORBID}|{_NOT}[\W_]*(\w+[\W_]+)?(allow|permit|grant|licen|authori))",
        r"\b(evaluation|benchmark(ing)?|test(ing)?)[\W_]+((use|purposes?)[\W_]+)?only\b")),
    "no derivatives": r"(?<![a-z])by[\W_](nc[\W_])?nd(?![a-z])|(?<![a-z])no[\W_]*deriv",
}
"""Names that `forbid_licences` may hold, with the regular expression that each stands for: against distillation and
training in whatever order it is said; and Creative Commons' "no derivatives", which a trace about the text may be.
"Non-commercial" and "research only" are not among them: whether you may train on it is for you to judge."""

NON_COMMERCIAL = re.compile(r"\bnc\b|non[\W_]?commercial|no[rt]?[\W_]+(for[\W_]+)?commercial|"
                            r"\b(research|academic|educational|personal)([\W_]+(and|or|&)[\W_]+\w+)?"
                            r"([\W_]+(use|purposes?))?[\W_]+only\b|\bonly[\W_]+for[\W_]+(\w+[\W_]+){0,2}research",
                            re.IGNORECASE)
"""Licences that are told of and not refused."""


def known(identity: Mapping[str, Any]) -> str:
    """What the terms of a teacher say that is known by its `host` or its `model`; "" for any other."""
    names = [str(identity[key]).lower() for key in ("host", "model") if identity.get(key)]
    return next((says for pattern, says in KNOWN for name in names if re.search(pattern, name, re.VERBOSE)), "")

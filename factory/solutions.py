r"""Where a text starts over: what the measure `overthinking` and the selectors that cut a trace share.

Chen et al. 2024 split a trace into its solutions by asking an LLM; here it is by rule. A solution ends where an answer
is stated and the text then starts over: "Wait", "Let me check", "Alternatively", … at the beginning of a sentence or of
a line. What counts as stated is for each caller to say: a measure may know the reference, a selector never does.
"""

import re

_BEGINS = r"""(?= [bosanyhwdlijtvcum][uokneahilmwys'’\ ] )  # how all of the words below begin: most sentences end here
        (?: (?:but|okay|ok|so|and|now|yes|hmm)[,.]*\ ){0,9}
            (?: wait\b | hold\ on\b | alternatively\b | another\ (?:way|approach|method) | double[- ]check
              | (?:let\ me|let['’]s|i(?:['’]ll|\ can|\ could|\ should|\ want\ to|\ need\ to)?|we\ (?:can|could))
                \ (?:just\ |also\ |quickly\ )?(?:double[- ]?|re-?|cross-?)?
                (?:check|verify|confirm|try|do\ it|solve|think)
              | to\ (?:verify|confirm|double[- ]check|check|be\ (?:sure|thorough|certain)|make\ sure)
              | (?:just\ )?(?:verifying|checking|confirming|check)\b | using\ (?:another|a\ different)
              | maybe\ (?:another|i)\b )"""
_AGAIN = re.compile(rf"(?: \n | [.!?]\ {{1,2}} ) (?= {_BEGINS} )", re.VERBOSE | re.IGNORECASE)

begins_over = re.compile(_BEGINS, re.VERBOSE | re.IGNORECASE).match
"""Whether a sentence or line that begins at a place of a text starts over: `begins_over(text, place)`."""


def starts_over(text: str) -> list[int]:
    """The places of `text` at which it starts over, in order; linear in its length."""
    return [found.end() for found in _AGAIN.finditer(text)]

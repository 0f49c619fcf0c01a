"""What a shopper is asked, in which words, and for how long the answer holds (core).

The text is the text of ``languages/portal.yaml`` with the merchant's name in it; its version is its own hash, so that no word of it can
change under a version that somebody agreed to. The ledger keeps each text that was ever agreed to.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cloud.domain.language import Language

DAY_MS = 86_400_000
VISIT_TOKEN_MS = DAY_MS
"""The access point's token of the day is worth nothing on the next."""
LIFE_DAYS = 180
"""A shopper who does not come for so long is forgotten; as long as the access point's key lasts (portal.visitor_key_days)."""
LONGEST_DAYS = 390
"""Then they are asked again, however often they came: 13 months, the CNIL's limit for a consented identifier of audiences."""
CODES_STAY_DAYS = 60
"""How long somebody who took the agreement back still sees the codes they hold."""
PROOF_DAYS = 5 * 365
"""How long a receipt without a shopper is kept: the limitation of French civil law (Code civil, art. 2224)."""
YES, NO, OPEN = "yes", "no", "open"
"""The answers that the access point's page understands (firmware_hooks/openwrt/opennds/theme_ivizone.sh)."""
PARTS = ("ask", "kept", "not_kept", "free")


@dataclass(frozen=True, slots=True)
class ConsentText:
    """The question as it was read."""

    version: str
    language: str
    text: str


def consent_text(spoken: Language, merchant: str) -> ConsentText:
    """The question in a language, and its version."""
    text = "\n\n".join(spoken.say(f"consent.{part}", merchant=merchant, days=LIFE_DAYS) for part in PARTS)
    return ConsentText(hashlib.sha256(text.encode()).hexdigest()[:16], spoken.code, text)

"""Has libraries do at once what they would do at first use: import modules.

An isolated process opens no file later (enclave_sim/isolation), so this is done when the adapter is made.
"""

from __future__ import annotations

import cbor2

_TAGGED = (
    "c074323031332d30332d32315432303a30343a30305a",  # a date and time
    "c48221196ab3",  # a decimal fraction
    "d81e820102",  # a rational
    "d82363616263",  # a regular expression
    "d8246141",  # a MIME message
    "d825505eaffac8b51e480581277fdcc7842faf",  # a UUID
    "d9010444c00a0a01",  # an IP address
)
"""What cbor2 imports modules for when a client sends it."""


def load_late_imports() -> None:
    for tagged in _TAGGED:
        cbor2.loads(bytes.fromhex(tagged))

"""Why a frame that was heard yields no probe request (docs/glossary.md explains each to an installer).

One ``Skipped`` exists for each reason, because on a busy channel most frames are skipped.
"""

from __future__ import annotations

from agent.dot11.probe_request import Skipped

NOT_PROBE_REQUEST = Skipped("not_probe_request")
BAD_FCS = Skipped("bad_fcs")
NO_SIGNAL = Skipped("no_signal")
TRUNCATED_LINK_HEADER = Skipped("truncated_link_header")
TRUNCATED_FRAME_HEADER = Skipped("truncated_frame_header")
TRUNCATED_ELEMENTS = Skipped("truncated_elements")
BAD_LINK_HEADER = Skipped("bad_link_header")
BAD_ADDRESS = Skipped("bad_address")
EMPTY_FRAME = Skipped("empty_frame")
DUPLICATE_EVENT = Skipped("duplicate_event")
MALFORMED_EVENT = Skipped("malformed_event")
OPTED_OUT = Skipped("opted_out")

SKIP_REASONS = tuple(
    skipped.reason
    for skipped in (
        NOT_PROBE_REQUEST,
        BAD_FCS,
        NO_SIGNAL,
        TRUNCATED_LINK_HEADER,
        TRUNCATED_FRAME_HEADER,
        TRUNCATED_ELEMENTS,
        BAD_LINK_HEADER,
        BAD_ADDRESS,
        EMPTY_FRAME,
        DUPLICATE_EVENT,
        MALFORMED_EVENT,
        OPTED_OUT,
    )
)

"""What stands at the head of each stream that the agent opens, and the one-byte answer to it."""

from enum import StrEnum


class StreamForm(StrEnum):
    """What travels on a stream after its head.

    ``RAW`` is bytes both ways, verbatim. ``RECORDS`` is mirrored HTTP/1 requests, cut into records by ``records``;
    the laptop sends each whole request to the process when the answer to the one before has ended, and drops the
    answers.
    """

    RAW = "raw"
    RECORDS = "records"

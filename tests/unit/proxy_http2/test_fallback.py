from itertools import product

import pytest
from hpack import Decoder

from kdev.proxy.http2.fallback import Mishap, Remedy, error_block, remedy

EVERY = [Mishap(*facts) for facts in product([False, True], repeat=6)]


def test_a_request_that_may_have_been_acted_on_is_never_sent_again_unless_it_is_safe() -> None:
    """No combination of facts repeats an unsafe request that a server may have seen."""
    for mishap in EVERY:
        if remedy(mishap) in {Remedy.AGAIN, Remedy.POD}:
            assert mishap.unprocessed or mishap.safe
            assert mishap.kept
            assert not mishap.answered
            assert not mishap.at_pod


def test_an_answer_that_has_begun_can_only_be_reset() -> None:
    """Once the caller has seen a status, there is no other way to tell it."""
    assert {remedy(mishap) for mishap in EVERY if mishap.answered} == {Remedy.RESET}


@pytest.mark.parametrize(("worth_trying", "expected"), [(True, Remedy.AGAIN), (False, Remedy.POD)])
def test_an_unseen_request_goes_where_it_can_be_answered(worth_trying: bool, expected: Remedy) -> None:
    """A POST that the process said it has not looked at is sent to it again, or to the pod if it is gone."""
    facts = Mishap(
        answered=False, kept=True, unprocessed=True, safe=False, at_pod=False, worth_trying=worth_trying
    )  # fmt: skip
    assert remedy(facts) is expected


def test_a_grpc_caller_is_told_in_grpcs_terms() -> None:
    """The answer to a gRPC call is a trailers-only UNAVAILABLE; to any other request it is the status."""
    grpc = dict(Decoder().decode(error_block(502, "it ended", grpc=True)))
    assert grpc[":status"] == "200"
    assert grpc["grpc-status"] == "14"
    plain = dict(Decoder().decode(error_block(504, "it ended", grpc=False)))
    assert plain[":status"] == "504"
    assert grpc["x-kdev-error"] == plain["x-kdev-error"] == "it ended"

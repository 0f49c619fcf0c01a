"""Signatures are believed alike here and in the process beside, and nobody waits for a process that is lost."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from support.ed25519 import RFC_8032_7_1

from cloud.ingest import checker as module
from cloud.ingest.checker import FEW, QUESTION, Checker, answers

EXAMPLES = [(bytes.fromhex(key), bytes.fromhex(signature), bytes.fromhex(m)) for key, m, signature in RFC_8032_7_1]
KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()
START_S = 20.0
questions = st.tuples(
    st.just(PUBLIC),
    st.binary(max_size=300).flatmap(lambda m: st.tuples(st.sampled_from([KEY.sign(m), bytes(64)]), st.just(m))),
).map(lambda q: (q[0], *q[1]))


def mixed(many: int) -> tuple[list[tuple[bytes, bytes, bytes]], list[bool]]:
    """Questions, every third of which is a signature over something else; and the right answers."""
    messages = [os.urandom(i) for i in range(many)]
    asked = [(PUBLIC, KEY.sign(b"other" if i % 3 == 0 else m), m) for i, m in enumerate(messages)]
    return asked, [i % 3 != 0 for i in range(many)]


async def ask(checker: Checker, asked) -> list[bool]:
    return list(await asyncio.gather(*(checker.holds(*question) for question in asked)))


async def beside() -> Checker:
    """A checker whose process is at work."""
    checker = Checker(cores=2)
    asked, right = mixed(FEW + 1)
    assert await ask(checker, asked) == right  # these are checked here, and start it
    async with asyncio.timeout(START_S):
        while checker.process_id is None:
            await asyncio.sleep(0.01)
    return checker


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_standards_examples_hold(example):
    assert asyncio.run(ask(Checker(cores=1), [example])) == [True]


@given(st.sampled_from(EXAMPLES), st.binary(max_size=80))
def test_no_other_message_has_the_signature(example, message):
    key, signature, signed = example
    assert asyncio.run(ask(Checker(cores=1), [(key, signature, message)])) == [message == signed]


@given(st.sampled_from(EXAMPLES), st.binary(min_size=64, max_size=64))
def test_no_other_bytes_are_the_signature(example, other):
    key, signature, signed = example
    assert asyncio.run(ask(Checker(cores=1), [(key, other, signed)])) == [other == signature]


@pytest.mark.parametrize("cores", [1, 2])
def test_each_gets_the_answer_to_its_own_question(cores):
    async def run():
        checker = await beside() if cores > 1 else Checker(cores=1)
        asked, right = mixed(100)
        given = await ask(checker, asked)
        checker.close()
        return given, right

    given, right = asyncio.run(run())
    assert given == right


@given(st.lists(questions, max_size=5), st.data())
def test_the_process_answers_alike_however_the_bytes_are_cut(asked, data):
    stream = b"".join(QUESTION.pack(key, sig, len(m)) + m for key, sig, m in asked)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    kept, said = bytearray(), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        kept += stream[begin:end]
        said += answers(kept)
    assert said == [int(sig != bytes(64)) for _, sig, _ in asked]
    assert not kept


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_who_waits_for_a_process_that_is_lost_is_answered_here(number, monkeypatch):
    """Killed, or standing still: what it was asked is answered, and so is what comes after."""
    monkeypatch.setattr(module, "SILENCE_S", 0.2)

    async def run():
        checker = await beside()
        process = checker.process_id
        os.kill(process, number)
        (first, right), (later, right_later) = mixed(20), mixed(30)
        waiting = asyncio.create_task(ask(checker, first))
        await asyncio.sleep(0.3)
        async with asyncio.timeout(START_S):
            given = await ask(checker, later), await waiting
        return given, (right_later, right), process

    with capture_logs() as lines:
        given, right, process = asyncio.run(run())
    assert given == right
    assert [line["event"] for line in lines] == ["signature_process_lost"]
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_for_the_whole_service_leaves_the_process_to_its_server(number):
    """systemctl stop and Ctrl-C go to both: what is under way is still answered by it, and nothing is logged as lost."""

    async def run():
        checker = await beside()
        await ask(checker, mixed(10)[0])  # from here on it has begun
        os.kill(checker.process_id, number)
        await asyncio.sleep(0.1)
        asked, right = mixed(100)
        given, is_there = await ask(checker, asked), checker.process_id is not None
        checker.close()
        return given == right and is_there

    with capture_logs() as lines:
        assert asyncio.run(run())
    assert not lines


def test_close_ends_the_process_and_checks_go_on_here():
    async def run():
        checker = await beside()
        process = checker.process_id
        checker.close()
        asked, right = mixed(10)
        assert await ask(checker, asked) == right
        await asyncio.sleep(0.1)
        return process

    with capture_logs() as lines:
        process = asyncio.run(run())
    assert not lines
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_single_core_has_no_process():
    async def run():
        checker = Checker(cores=1)
        asked, right = mixed(50)
        assert await ask(checker, asked) == right
        await asyncio.sleep(0.1)
        return checker.process_id

    assert asyncio.run(run()) is None

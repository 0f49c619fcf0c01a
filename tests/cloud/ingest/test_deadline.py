"""One timer for many requests: the late ones end, and nobody else."""

from __future__ import annotations

import asyncio

import pytest

from cloud.ingest.deadline import Deadline


async def reads(deadline: Deadline, came: asyncio.Event) -> str:
    try:
        with deadline:
            await came.wait()
    except TimeoutError:
        return "late"
    return "came"


def test_who_is_late_ends_and_who_is_not_goes_on():
    async def run():
        deadline, came, never = Deadline(0.2), asyncio.Event(), asyncio.Event()
        tasks = [asyncio.create_task(reads(deadline, event)) for event in (came, never, came, never)]
        await asyncio.sleep(0)
        came.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(run()) == ["came", "late", "came", "late"]


def test_a_deadline_holds_for_each_stay_anew():
    async def run():
        deadline, answers = Deadline(0.2), []
        for _ in range(3):
            event = asyncio.Event()
            asyncio.get_running_loop().call_later(0.1, event.set)
            answers.append(await reads(deadline, event))
        return answers

    assert asyncio.run(run()) == ["came"] * 3


def test_a_task_that_is_cancelled_by_others_is_not_called_late():
    async def run():
        task = asyncio.create_task(reads(Deadline(5.0), asyncio.Event()))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())


def test_an_error_within_passes_through():
    async def run():
        with Deadline(5.0):
            raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        asyncio.run(run())


def test_a_deadline_serves_one_event_loop_after_another():
    deadline = Deadline(0.1)

    async def never():
        return await reads(deadline, asyncio.Event())

    assert [asyncio.run(never()) for _ in range(2)] == ["late", "late"]


def test_no_timer_is_left_when_nobody_reads():
    async def run():
        deadline, came = Deadline(0.05), asyncio.Event()
        came.set()
        await reads(deadline, came)
        await asyncio.sleep(0.2)
        return deadline._loop

    assert asyncio.run(run()) is None

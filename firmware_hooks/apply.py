"""Runs a plan, verifies it, and undoes it when a command fails or the result is not there (shell).

A half-made state is worse than none: a monitor interface that is down looks like a quiet street. So after a failure every
step done is undone, last first; an undo that fails is told, and does not stop the others.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_hooks.errors import CommandFailed, HookError
from firmware_hooks.plan import Plan, Step
from firmware_hooks.system import Answer, System, failure

ENODEV = 19


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done."""

    plan: Plan
    commands: int


def apply_plan(system: System, plan: Plan) -> Applied:
    """Run ``plan`` and make sure that its interface is a monitor that is up. Raises HookError after undoing everything."""
    done = _run_steps(system, plan)
    if plan.steps:
        _verify(system, plan, done)
    return Applied(plan, len(done))


def remove(system: System, plan: Plan) -> Applied:
    """Run a removal; an interface that went away meanwhile is what was wanted. Raises HookError."""
    done: list[Step] = []
    for step in plan.steps:
        answer = system.run(step.command)
        if answer.code and not _is_gone(answer):
            raise _undone(system, done, failure(step.command, answer))
        done.append(step)
    return Applied(plan, len(done))


def _run_steps(system: System, plan: Plan) -> list[Step]:
    done: list[Step] = []
    for step in plan.steps:
        try:
            answer = system.run(step.command)
        except HookError as error:
            raise _undone(system, done, error) from error
        if answer.code:
            raise _undone(system, done, failure(step.command, answer))
        done.append(step)
    return done


def _verify(system: System, plan: Plan, done: list[Step]) -> None:
    """brcmfmac and others say yes and give something else: look."""
    found = next((i for i in system.interfaces() if i.name == plan.interface), None)
    if found and found.type == "monitor" and found.is_up is not False:
        return
    state = "is not there" if not found else f"is {found.type}, {'up' if found.is_up else 'down'}"
    raise _undone(
        system,
        done,
        CommandFailed(f"every command succeeded, but {plan.interface} {state}; the driver does not do what it says"),
    )


def _undone(system: System, done: list[Step], error: HookError) -> HookError:
    """Undo, last first; gives the error with what became of it."""
    failed = []
    undone = 0
    for step in reversed(done):
        if step.undo is None:
            continue
        answer = system.run(step.undo)
        if answer.code and not _is_gone(answer):
            failed.append(" ".join(step.undo))
        else:
            undone += 1
    text = str(error)
    if undone or failed:
        text += f". {undone} earlier step{'s' if undone != 1 else ''} undone"
    if failed:
        text += f"; not undone: {', '.join(f'`{command}`' for command in failed)}"
    return type(error)(text)


def _is_gone(answer: Answer) -> bool:
    return answer.errno == ENODEV or "Cannot find device" in answer.error

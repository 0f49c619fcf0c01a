"""YAML as a configuration may use it: text -> mappings, lists, text and numbers, each key once, no aliases (pure).

A module of its own because a running agent needs it for a moment only, and gives its megabyte back (``agent.frugal``).
"""

from __future__ import annotations

from typing import Any

import yaml


class NotYaml(Exception):
    """The text is no YAML that we take. ``line`` counts from 1, None where it is not known."""

    def __init__(self, problem: str, line: int | None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line


class _UniqueKeys(yaml.SafeLoader):
    """YAML whose keys are unique, as YAML 1.2 (3.2.1.1) wants them; PyYAML lets the last of two sections win in silence."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        seen: set[str] = set()
        for key in (key for key, _ in pairs if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{key.value}' stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):  # nine lines of them can stand for a thousand million values
            alias: Any = self.peek_event()  # type: ignore[no-untyped-call]
            problem = "aliases (*name) are not taken; write the value"
            raise yaml.composer.ComposerError(None, None, problem, alias.start_mark)
        return super().compose_node(parent, index)


def load_yaml(content: str) -> Any:
    """The value that the text stands for, None for an empty one. Raises NotYaml."""
    try:
        return yaml.load(content, _UniqueKeys)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: what looks like a date and is none
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "unreadable"
        raise NotYaml(problem, mark.line + 1 if mark else None) from error

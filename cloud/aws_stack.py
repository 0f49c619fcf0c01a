"""deploy/aws/stack.yaml: read, told in words, and given to CloudFormation (shell; the words are core)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from cloud.config import CloudConfigError

TEMPLATE = Path(__file__).resolve().parents[1] / "deploy" / "aws" / "stack.yaml"
SHORT = {"Ref": "Ref", "Condition": "Condition"}
"""Tags whose long form has no Fn:: before it. Source: CloudFormation, intrinsic function reference."""


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short functions."""


def _function(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        value = value.split(".", 1) if suffix == "GetAtt" else value
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
    return {SHORT.get(suffix, f"Fn::{suffix}"): value}


_Loader.add_multi_constructor("!", _function)  # type: ignore[no-untyped-call]


def load_template(path: Path = TEMPLATE) -> dict[str, Any]:
    """The template, its short functions written out. Raises CloudConfigError where it is not there."""
    try:
        loaded: dict[str, Any] = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506  a SafeLoader
    except OSError as error:
        raise CloudConfigError(
            f"{path} cannot be read ({error.strerror}); the template is in the checkout, or name one with --template"
        ) from error
    return loaded

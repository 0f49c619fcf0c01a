"""The texts of the merchant's pages (core; the catalogues are read once)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from cloud.domain.language import Language, catalogue, spoken

FOLDER = Path(__file__).parent / "languages"
METRICS_FILE = Path(__file__).parents[1] / "domain" / "metrics.yaml"


@cache
def texts() -> dict[str, dict[str, str]]:
    """Key -> language -> text. The English words of the metrics come from docs' own file, so that they stand in one place."""
    found = {key: dict(by_language) for key, by_language in catalogue(FOLDER).items()}
    for metric, about in yaml.safe_load(METRICS_FILE.read_text()).items():
        for part in ("title", "meaning", "computed"):
            found.setdefault(f"metric.{metric}.{part}", {})["en"] = about[part]
    return found


@cache
def language(code: str) -> Language:
    """A language of CODES with everything that the merchant's pages say."""
    return spoken(code, texts())

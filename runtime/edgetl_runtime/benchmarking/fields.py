"""Types of fields that the records of benchmarks share."""

from typing import Annotated, Literal, TypeAlias

import msgspec

from edgetl_runtime.system.percentiles import Percentiles

Milliseconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]
Share: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]
Number: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
Sha256: TypeAlias = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]
RulesName: TypeAlias = Literal["full", "quick", "custom", "survey"]

PERCENTILES = ("p50", "p90", "p95", "p99")


def find_disorder(name: str, found: Percentiles) -> str:
    """What is wrong with the order of percentiles; empty if nothing is.

    Args:
        name: Of the field.
        found: Its percentiles.
    """
    values = [getattr(found, one) for one in PERCENTILES]
    if values == sorted(values) and min(*values, found.mean) >= 0:
        return ""
    return f"{name} is not in order: expected 0 <= {' <= '.join(PERCENTILES)}"

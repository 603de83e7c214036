"""A package whose names load on first use, so that importing it imports nothing heavy."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any


def load_lazily(
    package: str, homes: "Mapping[str, str]"
) -> "tuple[Callable[[str], Any], Callable[[], Iterable[str]]]":
    """`__getattr__` and `__dir__` of a package (PEP 562).

    Args:
        package: Its name.
        homes: Public name -> module that holds it.
    """

    def get(name: str) -> "Any":
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(homes[name]), name)

    def list_names() -> list[str]:
        import sys

        return sorted({*vars(sys.modules[package]), *homes})

    return get, list_names

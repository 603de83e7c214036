"""Manifests of bundles in which chance has changed something, for hypothesis."""

import json

from hypothesis import strategies as st

from tests.damaged_bundles import FILES

MANIFEST = json.loads(FILES["bundle.json"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["../x", "/etc/passwd", "a\x00b", "litert", "int8", "x" * 5000]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def list_places(value, path=()):
    """The path of every value within a JSON document, the document itself left out."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from list_places(inner, (*path, key))


PLACES = list(list_places(MANIFEST))


@st.composite
def forged_manifests(draw, places=PLACES) -> bytes:
    """bundle.json with one to three values exchanged or left out."""
    document = json.loads(FILES["bundle.json"])
    for path in draw(st.lists(st.sampled_from(places), min_size=1, max_size=3)):
        change(document, path, draw(st.one_of(st.just(...), VALUES)))
    return json.dumps(document).encode("utf-8", "surrogatepass")


def change(document, path, value) -> None:
    """Sets or, with `...`, removes what is there, unless an earlier change took it away."""
    *way, last = path
    for key in way:
        if not has(document, key):
            return
        document = document[key]
    if not has(document, last):
        return
    if value is ...:
        del document[last]
    else:
        document[last] = value


def has(document, key) -> bool:
    if isinstance(document, list):
        return isinstance(key, int) and key < len(document)
    return isinstance(document, dict) and key in document

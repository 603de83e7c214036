import re

from edgetl_runtime import errors


def test_every_error_hangs_on_the_one_tree_that_the_docstring_draws():
    found = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    assert set(re.findall(r"\w+Error", errors.__doc__)) == found
    assert all(issubclass(getattr(errors, name), errors.EdgetlError) for name in found)

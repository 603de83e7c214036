"""The device's settings file, and how it and the command line become one `Settings`."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from edgetl_runtime.options.choices import Choices
from edgetl_runtime.options.toml_file import describe
from edgetl_runtime.settings.sections import Settings


def load_settings(file: Path | None, overrides: Mapping[str, object] | None = None) -> Settings:
    """Reads the settings file, lays the command line's options over it and checks the whole.

    Args:
        file: TOML, or None for the defaults. Relative paths in it are relative to its folder.
        overrides: Values by section and field; text such as `"5"` counts as 5.

    Raises:
        OptionsError: With file, path, the value found and what is allowed.
    """
    choices = Choices(Settings, style="flag")
    if file is not None:
        made = f"edgetl-run config > {shlex.quote(str(file))}"
        choices.add_file(file, absent=f"; `{made}` creates one")
    choices.add_tables(overrides or {}, style="flag", text=True)
    return choices.make()


def describe_settings(settings: Settings | None = None) -> str:
    """A settings file with every option and its meaning.

    What differs from the default is set; everything else is a comment that shows the default, or
    an example where the default is nothing.
    """
    title = "Settings of edgetl-run. A line that begins with # shows the default or an example."
    return describe(settings or Settings(), title)

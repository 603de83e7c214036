"""Flags of click, one for each option of a root struct, in sections of the help."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import msgspec

    from edgetl_runtime.options.option import Option


class OptionsCommand(click.Command):
    """A command with a flag for each option; the struct is imported when it is asked for."""

    def __init__(
        self, *arguments: Any, root: "Callable[[], type[msgspec.Struct]]", title: str, **others: Any
    ) -> None:
        """As `click.Command`.

        Args:
            *arguments: As `click.Command` takes them.
            root: Imports the root struct.
            title: Of the section of its options that are in no table.
            **others: As `click.Command` takes them.
        """
        super().__init__(*arguments, **others)
        self._root = root
        self._title = title

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own parameters, then one for each option."""
        own = super().get_params(ctx)
        return [*own[:-1], *(flag for _, flag in self._flags), own[-1]]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the sections, the command's own options first."""
        titles = {flag.name: section.capitalize() or self._title for section, flag in self._flags}
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record and not isinstance(parameter, click.Argument):
                title = titles.get(parameter.name, "Options")
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)

    @cached_property
    def _flags(self) -> list[tuple[str, click.Option]]:
        """With the table that each is in."""
        from edgetl_runtime.options.option import list_options

        options = list_options(self._root()).values()
        return [(option.section, _make_flag(option)) for option in options]


def collect_flags(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The given flags, in the form of a TOML file."""
    content: dict[str, Any] = {}
    for parameter, value in parameters.items():
        if value is None or value == ():
            continue
        section, _, name = parameter.rpartition("__")
        (content.setdefault(section, {}) if section else content)[name] = value
    return content


def _make_flag(option: "Option") -> click.Option:
    from edgetl_runtime.options.flags import make_metavar

    name = option.path.replace(".", "__")
    if option.is_switch:
        both = f"{option.flag}/--no-{option.flag[2:]}"
        return click.Option([both, name], default=None, help=option.help)
    return click.Option(
        [option.flag, name],
        metavar=make_metavar(option),
        multiple=option.is_list,
        help=option.help,
    )

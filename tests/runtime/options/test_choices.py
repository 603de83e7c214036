from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec
import pytest

from edgetl_runtime.errors import OptionsError
from edgetl_runtime.options.choices import Choices
from edgetl_runtime.options.option import list_options
from edgetl_runtime.options.toml_file import describe


class Inks(msgspec.Struct, frozen=True):
    """Ink.

    Attributes:
        cyan: Of the cyan ink.
    """

    cyan: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0


class Paper(msgspec.Struct, frozen=True):
    """The paper.

    Attributes:
        size: Format of a sheet.
        tray: Trays to take it from.
        profile: File of its colors.
    """

    size: Literal["letter", "a4"] = "a4"
    tray: tuple[int, ...] = ()
    profile: Annotated[str, msgspec.Meta(min_length=1, extra={"path": True})] | None = None


class Printer(msgspec.Struct, frozen=True):
    """A printer.

    Attributes:
        copies: Copies of each page.
        ink: Ink, by name or by strengths.
        quiet: Print slowly.
        paper: The paper.
    """

    FLAGS: ClassVar = {"paper.size": "paper"}
    EXAMPLES: ClassVar = {"quiet": True, "paper.profile": "matt.icc"}
    CHECKS: ClassVar = {"copies": lambda copies: "13 copies are unlucky" if copies == 13 else ""}

    copies: Annotated[int, msgspec.Meta(ge=1, lt=100)] = 1
    ink: str | Inks = "black"
    quiet: bool | None = None
    paper: Paper = Paper()


@pytest.fixture
def choices() -> Choices[Printer]:
    return Choices(Printer, style="flag")


def test_a_later_choice_wins_and_the_rest_stays(choices, tmp_path):
    file = tmp_path / "printer.toml"
    file.write_text("copies = 2\n[paper]\ntray = [1, 2]\nprofile = 'matt.icc'\n")
    choices.add_file(file)
    choices.add_tables({"copies": "3", "paper": {"tray": ("4,5", "6")}}, style="flag", text=True)
    choices.add_keywords({"quiet": True})
    assert choices.make() == Printer(
        3, "black", True, Paper("a4", (4, 5, 6), str(tmp_path / "matt.icc"))
    )


def test_what_is_not_chosen_is_that_of_the_base():
    base = Printer(copies=7, paper=Paper(size="letter"))
    choices = Choices(Printer, base)
    choices.add_keywords({"tray": (1,)})
    assert choices.make() == Printer(copies=7, paper=Paper(size="letter", tray=(1,)))


def test_each_is_spelled_as_it_was_written(choices, tmp_path):
    assert choices.spell("copies") == "--copies 1 (the default)"
    choices.add_tables({"quiet": False, "paper": {"tray": "1,2"}}, style="flag", text=True)
    assert [choices.spell(path) for path in ("quiet", "paper.tray")] == ["--no-quiet", "--tray 1,2"]
    choices.add_keywords({"copies": 4, "paper": "letter"})
    assert [choices.spell(path) for path in ("copies", "paper.size")] == [
        "copies=4",
        "paper='letter'",
    ]
    file = tmp_path / "printer.toml"
    file.write_text("\n[paper]\nsize = 'a4'\n")
    choices.add_file(file)
    assert choices.spell("paper.size") == f"paper.size = 'a4' ({file}, line 3)"


def test_a_table_in_place_of_a_value_is_checked_like_any_other(choices, tmp_path, wording):
    file = tmp_path / "printer.toml"
    file.write_text("[ink]\ncyan = 0.5\n")
    choices.add_file(file)
    assert choices.make().ink == Inks(0.5)
    with pytest.raises(OptionsError, match=wording[0]):
        choices.add_tables({"ink": {"cyan": 2}})
    with pytest.raises(OptionsError, match=wording[1]):
        choices.add_tables({"ink": {"cyna": 1}})


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"copies": 0}, "copies: expected a whole number from 1 to below 100, found 0"),
        ({"copies": 13}, "copies: 13 copies are unlucky"),
        ({"copys": 2}, r"copys is unknown; did you mean copies\?"),
        ({"zzz": 2}, "zzz is unknown; expected one of: copies, ink, quiet, paper, tray, profile"),
        ({"paper": "A4"}, r"paper: expected one of: letter, a4, found 'A4'; did you mean a4\?"),
    ],
)
def test_a_wrong_keyword_is_refused(choices, keywords, message):
    with pytest.raises(OptionsError, match=f"^{message}$"):
        choices.add_keywords(keywords)


def test_a_whole_table_may_be_a_keyword():
    choices = Choices(Printer)
    choices.add_keywords({"paper": Paper(size="letter")})
    assert choices.make() == Printer(paper=Paper(size="letter"))


def test_help_and_file_show_the_same_meaning_and_default():
    copies = list_options(Printer)["copies"]
    assert copies.help == "Copies of each page (default: 1)"
    assert describe(Printer(copies=2), "A printer.") == (
        "# A printer.\n"
        "#   Copies of each page. A whole number from 1 to below 100.\n"
        "copies = 2\n"
        "#   Ink, by name or by strengths. Text or a table.\n"
        '# ink = "black"\n'
        "#   Print slowly. True or false.\n"
        "# quiet = true  # for example\n"
        "\n# The paper.\n[paper]\n"
        "#   Format of a sheet. One of: letter, a4.\n"
        '# size = "a4"\n'
        "#   Trays to take it from. A list, each a whole number.\n"
        "# tray = []\n"
        "#   File of its colors. Text.\n"
        '# profile = "matt.icc"  # for example\n'
    )


def test_a_folder_is_pointed_to_its_file(choices, tmp_path: Path):
    (tmp_path / "config.toml").write_text("copies = 2")
    with pytest.raises(OptionsError, match=rf"did you mean {tmp_path}/config\.toml\?"):
        choices.add_file(tmp_path)

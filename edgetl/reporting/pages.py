"""Pages: one HTML file each, which needs no network and no script to be read."""

import base64
import hashlib
from pathlib import Path

from edgetl.reporting.wording import duration, span
from edgetl_export.wording import percent
from edgetl_runtime.errors import StorageError
from edgetl_runtime.system.storage import write_file
from edgetl_runtime.text.wording import count_noun

_TEMPLATES = Path(__file__).parent / "templates"


def render_page(template: str, **values: object) -> str:
    """Fills a template; every value is escaped unless it is a `markupsafe.Markup`.

    Args:
        template: A file of edgetl/reporting/templates that extends `page.html.j2`.
        values: What the template names; one that it misses is an error.

    Returns:
        HTML whose content security policy allows nothing but what is in the file itself.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count_noun": count_noun,
        "duration": duration,
        "percent": percent,
        "span": span,
    }
    script = (_TEMPLATES / "page.js").read_text("utf-8")
    style = (_TEMPLATES / "page.css").read_text("utf-8")
    return environment.get_template(template).render(
        values, page_script=script, page_script_hash=_hash(script), page_style=style
    )


def save_page(page: str, out: Path) -> None:
    """Writes a page, in a folder that is made if it is not there.

    Raises:
        StorageError: If it cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {out.parent} ({error.strerror})") from error
    write_file(out, page.encode("utf-8", "backslashreplace"))


def mark_safe(markup: str) -> str:
    """Lets a page take what we drew ourselves as it is: SVG elements and data URIs."""
    from markupsafe import Markup

    return Markup(markup)


def _hash(script: str) -> str:
    """As a content security policy names an allowed script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

"""The bundle on the workstation: one that can become a page for phones."""

from pathlib import Path
from typing import TYPE_CHECKING

from edgetl_runtime.bundle import reader

if TYPE_CHECKING:
    from edgetl_export.phone.site import Site


class Bundle(reader.Bundle, frozen=True):
    """An opened and verified bundle.

    Attributes:
        path: The folder or the zip.
        manifest: The content of `bundle.json`.
        sha256: SHA-256 of `bundle.json`, which lists all other hashes: the bundle's identity.
    """

    def to_phone(
        self, out: str | Path, *, variant: str | None = None, overwrite: bool = False
    ) -> "Site":
        """Writes a web page that runs the bundle in a phone's browser.

            site = edgetl.Bundle.open("parts.bundle").to_phone("site")

        Args:
            out: A folder, or a zip if it ends in `.zip`, for any web server with HTTPS.
            variant: Name of the model file (default: `litert-int8`, else the first for LiteRT).
            overwrite: Replace an earlier page.

        Raises:
            BundleError: If the bundle has no such file, or it is not for LiteRT.
            ExportError: If this is a checkout in which the page was not built.
            StorageError: If `out` exists or cannot be written.
        """
        from edgetl_export.phone.site import write_site

        return write_site(self, Path(out), variant=variant, overwrite=overwrite)

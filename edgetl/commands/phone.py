"""`edgetl phone`: a bundle as a web page for phones."""

import signal
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgetl.console import FOLDER, print_json

if TYPE_CHECKING:
    from edgetl_export.phone.serving import SiteServer
    from edgetl_export.phone.site import Site

_PORT = 8443


@click.command()
@click.argument("bundle", type=FOLDER)
@click.option("--out", type=FOLDER, help="Folder for the page, or NAME.zip.")
@click.option("--overwrite", is_flag=True, help="Replace an existing page.")
@click.option(
    "--variant", help="Variant to put into the page.  [litert-int8, else the first for LiteRT]"
)
@click.option(
    "--serve", is_flag=True, help="Serve the page in the local network, over HTTPS, until Ctrl-C."
)
@click.option(
    "--http",
    "is_plain",
    is_flag=True,
    help="With --serve: without encryption, on this machine only; for its own browser, and for an "
    "Android phone on a USB cable (adb reverse).",
)
@click.option("--host", help="With --serve: address to listen on.  [0.0.0.0]")
@click.option(
    "--port", type=click.IntRange(0, 65_535), help=f"With --serve: port; 0 takes one.  [{_PORT}]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def phone(
    bundle: Path,
    out: Path | None,
    *,
    overwrite: bool,
    variant: str | None,
    serve: bool,
    is_plain: bool,
    host: str | None,
    port: int | None,
    as_json: bool,
) -> None:
    """Write a BUNDLE as a web page that runs it in a phone's browser, and try it.

    Example: edgetl phone parts.bundle --serve
    """
    given = {"--http": is_plain, "--host": host is not None, "--port": port is not None}
    _check_combination(out, serve=serve, given=[name for name, one in given.items() if one])
    import msgspec

    from edgetl_export.bundle import Bundle

    with ExitStack() as held:
        folder = out or Path(held.enter_context(tempfile.TemporaryDirectory())) / "site"
        site = Bundle.open(bundle).to_phone(folder, variant=variant, overwrite=overwrite)
        if serve:
            serve_site(folder, host=host, port=port, is_plain=is_plain, as_json=as_json)
        elif as_json:
            print_json({**msgspec.structs.asdict(site), "path": str(site.path)})
        else:
            _report(site, bundle)


def _report(site: "Site", bundle: Path) -> None:
    """How to publish the page, and how to try it now."""
    first = site.first_visit_bytes
    click.echo(
        f"{site.path}: a page with {site.variant}, version {site.version}, {site.bytes / 1e6:.0f} "
        f"MB; a first visit fetches {first['br'] / 1e6:.1f} MB with Brotli, "
        f"{first['gz'] / 1e6:.1f} MB with gzip"
    )
    click.echo("publish: copy all of it, as it is, to any web server with HTTPS, under any path:")
    click.echo("  GitHub Pages: commit the folder (docs/ or a branch) and choose it in Settings")
    click.echo("  Netlify, Cloudflare Pages: drop the folder or the zip onto their page")
    click.echo(
        "  nginx: copy it below the root; gzip_static and brotli_static send the .gz and .br"
    )
    click.echo(f"next: edgetl phone {bundle} --serve  (try it on a phone now)")


def _check_combination(out: Path | None, *, serve: bool, given: list[str]) -> None:
    if out is None and not serve:
        raise click.UsageError("give --out FOLDER to write the page, --serve to try it, or both")
    if serve and out is not None and out.suffix == ".zip":
        raise click.UsageError("--serve needs a folder: give --out FOLDER, or leave --out out")
    if not serve and given:
        raise click.UsageError(f"{given[0]} is for --serve; leave it out")
    if {"--http", "--host"} <= set(given):
        raise click.UsageError("--http listens on this machine only; leave --host out")


def serve_site(
    folder: Path, *, host: str | None, port: int | None, is_plain: bool, as_json: bool
) -> None:
    """Serves a site until Ctrl-C or SIGTERM, and says how a phone gets there.

    Args:
        folder: What `write_site` wrote.
        host: Address to listen on; None: all.
        port: None: the usual one.
        is_plain: Without HTTPS, on the loopback.
        as_json: Print one object instead of sentences.

    Raises:
        ServiceError: If it cannot be served there, or the authority cannot be used.
        StorageError: If the authority cannot be written.
    """
    from edgetl_export.phone.serving import SiteServer

    ended = threading.Event()
    with SiteServer(
        folder, host=host or "0.0.0.0", port=_PORT if port is None else port, secure=not is_plain
    ) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        _explain(server, as_json=as_json)
        ended.wait()


def _explain(server: "SiteServer", *, as_json: bool) -> None:
    trust = server.trust
    if as_json:
        print_json(
            {
                "urls": trust.urls if trust else (server.url,),
                "trust_url": trust.page_url if trust else None,
                "fingerprint_sha256": trust.authority.fingerprint if trust else None,
            }
        )
    elif trust:
        _explain_secure(server)
    else:
        click.echo(f"open {server.url}  (Ctrl-C ends it)")
        click.echo("an Android phone on a USB cable, with USB debugging, opens the same after:")
        click.echo(f"    adb reverse tcp:{server.port} tcp:{server.port}")
        click.echo(
            "which leads its port here. Browsers take localhost for secure: the camera works "
            "without Wi-Fi and without a certificate"
        )
    sys.stdout.flush()


def _explain_secure(server: "SiteServer") -> None:
    from edgetl_runtime.serving.codes import Code, show_codes

    trust = server.trust
    assert trust is not None
    port, page_port = server.port, trust.page_url.rpartition(":")[2].strip("/")
    if trust.is_public:
        codes = [Code("1. Trust this machine", trust.page_url), Code("2. Open", trust.url)]
        show_codes(codes, sys.stdout)
    click.echo(f"1. once on each phone, in the same Wi-Fi: open {trust.page_url}")
    click.echo(f"   the fingerprint that the phone shows must be {trust.authority.fingerprint}")
    click.echo("   (a phone that did this before, for whatever page of this machine, skips it)")
    click.echo(f"2. open {' or '.join(trust.urls)}  (Ctrl-C ends it)")
    click.echo(f"   if nothing opens: a firewall must let in the ports {port} and {page_port}")
    click.echo(
        "   an Android phone on a USB cable needs neither Wi-Fi nor step 1: start it with --http"
    )

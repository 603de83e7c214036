"""Certificates by the openssl program, for servers and clients of tests."""

import subprocess
from pathlib import Path


class Authority:
    """A CA of one's own, and what it signed, by the openssl program."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ca = self._make("ca", "/CN=home", "-x509", "-days", "2")

    def sign(self, name: str, *, host: str = "IP:127.0.0.1", days: int = 2) -> tuple[Path, Path]:
        request = self._make(name, f"/CN={name}", "-addext", f"subjectAltName={host}")
        signed = self._folder / f"{name}.crt"
        self._openssl(
            *("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._folder / "ca.key"),
            *("-days", days, "-copy_extensions", "copy", "-out", signed),
        )
        return signed, self._folder / f"{name}.key"

    def _make(self, name: str, subject: str, *options: object) -> Path:
        out = self._folder / f"{name}.pem"
        self._openssl(
            *("req", "-newkey", "rsa:2048", "-nodes", "-keyout", self._folder / f"{name}.key"),
            *("-subj", subject, "-out", out, *options),
        )
        return out

    @staticmethod
    def _openssl(*arguments: object) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)

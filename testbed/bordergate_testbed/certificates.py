"""Certificates for both ends: those that the tests of `control/ike` have, made by OpenSSL."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "control" / "ike" / "tests" / "certificates"
ROOTS = ("root", "rsa-root", "ed-root")


@dataclass(frozen=True)
class Certified:
    """What one end has: names of files in `control/ike/tests/certificates`, without their endings."""

    name: str
    """Of certificate and key; the identity NAME.example is in it."""
    above: tuple[str, ...] = ()
    """Intermediate authorities whose certificates it sends along."""
    authorities: tuple[str, ...] = ROOTS
    """Whom it trusts."""
    revocation_lists: tuple[str, ...] = ()
    strict: bool = False
    """Whether it refuses whom no current list is about."""
    rsa_padding: str = "pss"

    @property
    def identity(self) -> str:
        """The name that the certificate is for."""
        return f"{self.name}.example"

    def render(self) -> str:
        """The fields of a `vpn_tunnel`, with paths beside the resource file."""
        def files(names: tuple[str, ...]) -> str:
            return "[" + ", ".join(f'"{name}.pem"' for name in names) + "]"

        lists = f"crl_files = {files(self.revocation_lists)}\n" if self.revocation_lists else ""
        return (f'certificate_file = "{self.name}-sent.pem"\nprivate_key_file = "{self.name}.key"\n'
                f'ca_files = {files(self.authorities)}\n{lists}crl = "{"strict" if self.strict else "lenient"}"\n'
                f'rsa_padding = "{self.rsa_padding}"\n')

    def install_for_bordergate(self, directory: Path) -> None:
        """Copy the files to where `render` has them."""
        for name in (*self.authorities, *self.revocation_lists):
            shutil.copyfile(FOLDER / f"{name}.pem", directory / f"{name}.pem")
        sent = "".join((FOLDER / f"{name}.pem").read_text() for name in (self.name, *self.above))
        (directory / f"{self.name}-sent.pem").write_text(sent)
        key = directory / f"{self.name}.key"
        shutil.copyfile(FOLDER / f"{self.name}.key", key)
        key.chmod(0o600)

    def install_for_strongswan(self, directory: Path) -> None:
        """Copy the files to where swanctl looks for each kind."""
        for folder, names, ending in (("x509", (self.name, *self.above), "pem"), ("private", (self.name,), "key"),
                                      ("x509ca", self.authorities, "pem"), ("x509crl", self.revocation_lists, "pem")):
            (directory / folder).mkdir(parents=True, exist_ok=True)
            for name in names:
                shutil.copyfile(FOLDER / f"{name}.{ending}", directory / folder / f"{name}.{ending}")

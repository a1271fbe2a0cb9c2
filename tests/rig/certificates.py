"""Certificates of a private authority, for servers of 127.0.0.1 that speak TLS."""

import ssl
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOCAL: Sequence[x509.GeneralName] = (x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1")))
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Certificate:
    """Files in PEM."""

    file: Path
    key_file: Path

    def server(self, client_authority: Path | None = None) -> ssl.SSLContext:
        """TLS of a server; with *client_authority* it asks its clients for certificates too."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key_file)
        if client_authority:
            context.load_verify_locations(client_authority)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class Authority:
    """An authority that is known by its `file`, or by `pem`; without a *folder* its files are in one that ends with it."""

    def __init__(self, folder: Path | None = None) -> None:
        if folder is None:
            self._temporary = tempfile.TemporaryDirectory()
            weakref.finalize(self, self._temporary.cleanup)
            folder = Path(self._temporary.name)
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "ca.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("test authority")
        public = self._key.public_key()
        certificate = (
            self._builder(self._name, public, ONE_DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.KeyUsage(False, False, False, False, False, True, True, False, False),
                critical=True,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    @property
    def pem(self) -> str:
        """Its certificate."""
        return self.file.read_text()

    def trusted(self) -> ssl.SSLContext:
        """TLS of a client that trusts this authority and no other."""
        return ssl.create_default_context(cafile=self.file)

    def server(self, host: str, *, begins: int = -3, ends: int = 1) -> ssl.SSLContext:
        """TLS of a server for this host; its certificate is valid from and until so many days from now."""
        return self.sign(host, [x509.DNSName(host)], timedelta(days=ends), begins=timedelta(days=begins)).server()

    def sign(
        self,
        name: str,
        names: Sequence[x509.GeneralName] = LOCAL,
        lasts: timedelta = ONE_DAY,
        *,
        begins: timedelta = -3 * ONE_DAY,
    ) -> Certificate:
        """A certificate for these *names*, which ends after so long: a negative time is one that has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        authority = self._key.public_key()
        certificate = (
            self._builder(_name(name), key.public_key(), lasts, begins)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        found = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}-key.pem")
        found.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        found.key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return found

    def _builder(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePublicKey,
        lasts: timedelta,
        begins: timedelta = -3 * ONE_DAY,
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + lasts)
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

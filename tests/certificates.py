"""A private certificate authority: its own certificate, and that of a server on 127.0.0.1 that it signed."""

import datetime
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class Certificates(NamedTuple):
    """Files in the PEM format: what clients trust, and the certificate and key of the server."""

    authority: Path
    server: Path
    key: Path


def create(folder: Path) -> Certificates:
    """New certificates in `folder`; they are valid for as long as the machine's clock can be wrong by."""
    names = {part: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, part)]) for part in ("authority", "server")}
    keys = {part: ec.generate_private_key(ec.SECP256R1()) for part in names}
    files = Certificates(folder / "authority.pem", folder / "server.pem", folder / "server.key")
    for part, name in names.items():
        is_authority = part == "authority"
        key_usage = x509.KeyUsage(True, False, False, False, False, is_authority, False, False, False)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(names["authority"])
        builder = builder.public_key(keys[part].public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(datetime.datetime(2000, 1, 1)).not_valid_after(datetime.datetime(2200, 1, 1))
        builder = builder.add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        builder = builder.add_extension(key_usage, critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(keys[part].public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(keys["authority"].public_key())
        builder = builder.add_extension(identifier, critical=False).add_extension(issuer, critical=False)
        if not is_authority:
            address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
            builder = builder.add_extension(address, critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        certificate = builder.sign(keys["authority"], hashes.SHA256())
        getattr(files, part).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        keys["server"].private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files

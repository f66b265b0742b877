"""An authority and a server's certificate, as both servers' tests of TLS need them."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

NAME = "localhost"  # what the server's certificate says; 127.0.0.1 is the same server, not its name


@dataclass(frozen=True)
class Certificates:
    """What a server shows, its authority, and one that did not sign it."""

    server: Path
    key: Path
    authority: Path
    stranger: Path


@contextmanager
def certificates() -> Iterator[Certificates]:
    """Make them in a folder that the server's user can reach, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory(prefix="whimbrel-tls-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        authority, stranger = _openssl(folder, "authority"), _openssl(folder, "stranger")
        signed = ("-CA", authority, "-CAkey", folder / "authority.key")
        server = _openssl(folder, "server", *signed, "-addext", f"subjectAltName=DNS:{NAME}")
        key = folder / "server.key"
        if os.geteuid() == 0:
            os.chown(key, pwd.getpwnam("nobody").pw_uid, -1)
        yield Certificates(server, key, authority, stranger)


def _openssl(folder: Path, name: str, *words: str | Path) -> Path:
    """Make a key and a certificate; return the certificate."""
    if shutil.which("openssl") is None:
        pytest.fail("the command openssl is missing, `make system` installs it")
    files = ("-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    command = ["openssl", "req", "-x509", *key, "-subj", f"/CN={name}", *files, *words]
    subprocess.run(command, check=True, capture_output=True)
    return folder / f"{name}.crt"

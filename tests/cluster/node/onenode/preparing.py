"""What is made once for a machine: Debian packages, the binary and the base image's root."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .errors import NodeError, NotPreparedError
from .mounts import unmount_under
from .places import SOURCE, cache_dir
from .shell import run_logged

KUBERNETES: Final = "v1.34.4"
# Program -> Debian package. openssl, iproute2 and procps are mostly there already.
_PACKAGES: Final = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "/bin/busybox": "busybox-static",
    "openssl": "openssl",
    "ip": "iproute2",
    "sysctl": "procps",
    "nsenter": "util-linux",
    "mount": "mount",
}
_VERSION: Final = "k8s.io/component-base/version"
_GO_FILES: Final = ("go.mod", "go.sum", "main.go")
_BASE_PACKAGES: Final = "python3,python3-venv,ca-certificates"
# None of these is read by a program; without them the image is a third smaller and loads faster.
_UNREAD: Final = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "var/cache/apt",
    "var/lib/apt/lists",
)


def missing_packages() -> list[str]:
    """Return the Debian packages that are not installed."""
    search = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    return sorted(
        package
        for program, package in _PACKAGES.items()
        if shutil.which(program, path=search) is None
    )


def install_packages(packages: list[str]) -> None:
    """Install Debian packages without their recommended ones, and without starting any service."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    log = cache_dir() / "log" / "apt-get.log"
    run_logged(["apt-get", "update", "--quiet"], log=log, environment=environment)
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages]
    run_logged(install, log=log, environment=environment)


def digest_of(*parts: str | Path) -> str:
    """Return a short digest of texts and files, for the name of what is made from them."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode()
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]


@contextmanager
def alone() -> Iterator[None]:
    """Let one prepare at a time work on the cache, and remove what a killed one left."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / ".prepare.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for pattern in (".unfinished-*", "images/.unfinished-*", "context-*"):
            for leftover in cache_dir().absolute().glob(pattern):
                # A killed debootstrap leaves /proc mounted: removing must not reach into it.
                unmount_under(leftover)
                shutil.rmtree(leftover)
        yield


@contextmanager
def unfinished(target: Path) -> Iterator[Path]:
    """Yield a path beside the target that becomes the target on success and vanishes on failure."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=target.parent) as folder:
        path = Path(folder) / target.name
        yield path
        path.rename(target)


def _binary_path() -> Path:
    flags = f"{KUBERNETES} CGO_ENABLED=0 -s -w"
    digest = digest_of(flags, *(SOURCE / name for name in _GO_FILES))
    return cache_dir() / f"whimbrel-node-{digest}"


def binary() -> Path:
    """Return the one binary.

    Raises:
        NotPreparedError: it was not built.
    """
    path = _binary_path()
    if not path.exists():
        raise NotPreparedError(
            "the cluster's binary is not built: run 'node.py prepare' (about 10 minutes, once)"
        )
    return path


def build_binary(say: Callable[[str], None]) -> None:
    """Build the one binary, unless it is in the cache.

    The version is linked in: without it the API server reports v0.0.0 and clients refuse it.
    """
    target = _binary_path()
    if target.exists():
        return
    if shutil.which("go") is None:
        raise NodeError(
            "Go (1.25 or newer) is needed to build the cluster's binary; 'go' is not on the PATH"
        )
    log = cache_dir() / "log" / "go-build.log"
    say(f"building Kubernetes {KUBERNETES} from Go modules: about 10 minutes on 2 cores; log {log}")
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    versions = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor}
    flags = " ".join(
        ["-s", "-w", *(f"-X {_VERSION}.{key}={value}" for key, value in versions.items())]
    )
    with unfinished(target) as path:
        run_logged(
            ["go", "build", "-trimpath", "-mod=readonly", "-ldflags", flags, "-o", path, "."],
            log=log,
            cwd=SOURCE,
            environment={**os.environ, "CGO_ENABLED": "0"},
        )


def make_base_root(folder: Path) -> None:
    """Make a Debian root folder that looks like the official Python image to a Dockerfile.

    The official one has its interpreter in /usr/local/bin, and Dockerfiles call it 'python'.
    """
    log = cache_dir() / "log" / "debootstrap.log"
    run_logged(
        ["debootstrap", "--variant=minbase", f"--include={_BASE_PACKAGES}", "bookworm", folder],
        log=log,
    )
    for name in ("python", "python3"):
        (folder / "usr/local/bin" / name).symlink_to("/usr/bin/python3")
    for unread in _UNREAD:
        for entry in (folder / unread).iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    (folder / "var/cache/apt/archives/partial").mkdir(parents=True)
    (folder / "var/lib/apt/lists/partial").mkdir(parents=True)
    _let_packages_skip_unread_files(folder)


def _let_packages_skip_unread_files(folder: Path) -> None:
    lines = [f"path-exclude=/{unread}/*" for unread in _UNREAD if unread.startswith("usr/")]
    (folder / "etc/dpkg/dpkg.cfg.d/whimbrel-node").write_text("\n".join(lines) + "\n")


def root_digest() -> str:
    """Return what the base image depends on; it is part of its name in the cache."""
    return digest_of("bookworm", _BASE_PACKAGES, *_UNREAD)

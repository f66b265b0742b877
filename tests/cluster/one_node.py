"""What tests do to the node itself, where kubectl has no word for it: stop, kill, load an image."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.kube import NODE, Namespace, kubectl
from tests.cluster.node.onenode import images, places

NAME = os.environ.get("WHIMBREL_CLUSTER", "whimbrel")


def is_one_node() -> bool:
    """Tell whether the cluster is the one of tests/cluster/node."""
    return places.NODE_ADDRESS in kubectl("get", "nodes", "-o", "wide")


def stop_and_start(component: str) -> None:
    """Kill a component of the control plane and bring it back."""
    for command in ("stop-component", "start-component"):
        subprocess.run([sys.executable, str(NODE), command, NAME, component], check=True)


@contextmanager
def away(component: str) -> Iterator[None]:
    """Have the cluster without a component during the block."""
    command = [sys.executable, str(NODE)]
    subprocess.run([*command, "stop-component", NAME, component], check=True)
    try:
        yield
    finally:
        subprocess.run([*command, "start-component", NAME, component], check=True)


def kill_container(shop: Namespace, pod: str, container: str) -> None:
    """SIGKILL every process of a container, as the kernel does when memory is short."""
    states = shop.get("pod", pod)["status"]["containerStatuses"]
    uri = next(each["containerID"] for each in states if each["name"] == container)
    address = str(places.cluster(NAME).containerd_socket)
    task = ("tasks", "kill", "--all", "--signal", "SIGKILL", uri.removeprefix("containerd://"))
    subprocess.run(["ctr", "--address", address, "--namespace", "k8s.io", *task], check=True)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Keep the workers of one test run from building into each other; the kernel lets go."""
    with (Path(tempfile.gettempdir()) / f"whimbrel-images-{NAME}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def provide_image(context: Path, tag: str, *build_args: str) -> str:
    """Build an image, give it to the cluster, and return its name; arguments as KEY=VALUE."""
    if is_one_node():
        with one_at_a_time():
            images.build_image(tag, context, build_args=[*build_args, *_base_of(context)])
            images.load_image(places.cluster(NAME), tag)
        return tag
    if shutil.which("docker") is None or shutil.which("kind") is None:
        pytest.skip("needs a cluster that an image can be given to: kind or tests/cluster/node")
    given = [f"--build-arg={each}" for each in build_args]
    subprocess.run(["docker", "build", "--quiet", *given, "--tag", tag, str(context)], check=True)
    subprocess.run(["kind", "load", "docker-image", "--name", NAME, tag], check=True)
    return tag


def _base_of(context: Path) -> list[str]:
    """Return what a Dockerfile builds on, where that cannot be pulled: Node for a package.json."""
    if not (context / "package.json").exists():
        return []
    images.build_image(places.NODE_IMAGE, places.SOURCE / "images/node")
    return [f"BASE_IMAGE={places.NODE_IMAGE}"]

"""A real one-node Kubernetes for the cluster tests, without Docker; see README.md here."""

import argparse
import sys
from pathlib import Path

from onenode import cluster, components, images, network, preparing, standard_images
from onenode.errors import NodeError
from onenode.places import Cluster, cluster as cluster_of


def say(text: str) -> None:
    """Tell the person at the terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def prepare(_: argparse.Namespace) -> None:
    """Install, build and keep everything that clusters are made from."""
    cluster.require_root()
    with preparing.alone():
        _prepare()


def _prepare() -> None:
    if missing := preparing.missing_packages():
        say(f"installing {' '.join(missing)}: containers, their network and images need them")
        preparing.install_packages(missing)
    preparing.build_binary(say)
    standard_images.build_standard_images(say)


def up(arguments: argparse.Namespace) -> None:
    """Start a cluster and say where its kubeconfig is."""
    say(str(cluster.up(_named(arguments))))


def down(arguments: argparse.Namespace) -> None:
    """Stop a cluster."""
    cluster.down(_named(arguments))


def leftovers(arguments: argparse.Namespace) -> int:
    """List what a cluster left; the exit code is 1 if that is anything."""
    lines = cluster.leftovers(_named(arguments))
    for line in lines:
        say(line)
    return 1 if lines else 0


def enter(arguments: argparse.Namespace) -> None:
    """Become a command inside the cluster's network namespace."""
    found = _named(arguments)
    if not network.netns_exists(found):
        raise NodeError(
            f"cluster {found.name!r} is not running: run 'node.py up --name {found.name}'"
        )
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    network.enter(found, command or ["bash"])


def build_image(arguments: argparse.Namespace) -> None:
    """Build an image, and load it where a cluster is named."""
    dockerfile = Path(arguments.file) if arguments.file else None
    say(
        images.build_image(
            arguments.tag,
            Path(arguments.context),
            dockerfile=dockerfile,
            build_args=arguments.build_arg,
        )
    )
    if arguments.name:
        images.load_image(_named(arguments), arguments.tag)


def load_image(arguments: argparse.Namespace) -> None:
    """Load a built image into a cluster."""
    done = images.load_image(_named(arguments), arguments.tag)
    say("loaded" if done else "was loaded already")


def start_component(arguments: argparse.Namespace) -> None:
    """Start components and wait until they work."""
    for name in arguments.component:
        components.start_component(cluster_of(arguments.cluster), name)


def stop_component(arguments: argparse.Namespace) -> None:
    """Stop components."""
    for name in arguments.component:
        components.stop_component(cluster_of(arguments.cluster), name)


def _named(arguments: argparse.Namespace) -> Cluster:
    return cluster_of(arguments.name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="node.py", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for function in (
        prepare,
        up,
        down,
        leftovers,
        enter,
        load_image,
        build_image,
        start_component,
        stop_component,
    ):
        command = commands.add_parser(function.__name__.replace("_", "-"), help=function.__doc__)
        command.set_defaults(run=function)
        if function in (up, down, leftovers, enter, load_image):
            command.add_argument("--name", default="dev", help="the cluster's name (default: dev)")
        if function is enter:
            command.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")
        if function is load_image:
            command.add_argument("tag")
        if function is build_image:
            command.add_argument("--tag", required=True)
            command.add_argument("--context", required=True)
            command.add_argument("--file", help="default: Dockerfile in the context")
            command.add_argument("--build-arg", action="append", default=[], metavar="KEY=VALUE")
            command.add_argument("--name", help="load it into this cluster too")
        if function in (start_component, stop_component):
            command.add_argument("cluster", metavar="NAME")
            command.add_argument("component", nargs="+", choices=components.COMPONENTS)
    return parser


def main() -> int:
    """Run the command; the exit code is 1 with one clear text on standard error if it failed."""
    arguments = _parser().parse_args()
    try:
        return arguments.run(arguments) or 0
    except NodeError as error:
        sys.stderr.write(f"node.py: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())

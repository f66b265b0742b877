"""The same project of Django with its next release, in an interpreter of its own."""

import subprocess

from tests.django_six import HOME
from tests.matrix.projects.django import DjangoProject


class DjangoSixProject(DjangoProject):
    """The example of docs/tools/django.md, with Django 6."""

    def version(self) -> str:
        """Ask the interpreter that runs it."""
        python = HOME / "bin/python"
        said = subprocess.run(
            [python, "-m", "django", "--version"], capture_output=True, check=True
        )
        return f"Django {said.stdout.decode().strip()}"

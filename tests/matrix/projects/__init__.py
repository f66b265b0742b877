"""One project per tool: what the matrix has to know to write migrations in it."""

from collections.abc import Callable
from pathlib import Path

from tests.django_six import HOME as DJANGO_SIX
from tests.matrix.project import Project
from tests.matrix.projects.alembic import AlembicProject
from tests.matrix.projects.django import DjangoProject
from tests.matrix.projects.django_six import DjangoSixProject
from tests.matrix.projects.prisma import PrismaProject
from tests.matrix.projects.sequelize import SequelizeProject
from tests.matrix.projects.sql import SqlProject
from tests.matrix.projects.typeorm import TypeormProject
from tests.matrix.server import Server

PROJECTS: dict[str, Callable[[Path, Server], Project]] = {
    "sql": SqlProject,
    "alembic": AlembicProject,
    "django": DjangoProject,
    "django 6": DjangoSixProject,
    "prisma": PrismaProject,
    "sequelize": SequelizeProject,
    "typeorm": TypeormProject,
}
# Folders that come first on PATH; what is not there is not run.
PROGRAMS: dict[str, Path] = {"django 6": DJANGO_SIX / "bin"}

"""Settings of the shop: what manage.py needs, and the database of DATABASE_URL."""

import os
from urllib.parse import parse_qsl, unquote, urlsplit

ENGINES = {
    "postgresql": "django.db.backends.postgresql",
    "mysql": "django.db.backends.mysql",
    "mariadb": "django.db.backends.mysql",
}


def database(url):
    """Return the settings of a database from its URL."""
    parts = urlsplit(url)
    return {
        "ENGINE": ENGINES[parts.scheme],
        "NAME": unquote(parts.path[1:]),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "OPTIONS": dict(parse_qsl(parts.query)),
    }


SECRET_KEY = os.environ.get("SECRET_KEY", "only for the example")
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "people"]
DATABASES = {"default": database(os.environ.get("DATABASE_URL", "postgresql://localhost/shop"))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

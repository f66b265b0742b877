"""A Django project that would lead elsewhere than the URL, and names that lead elsewhere."""

import pytest

from tests.db import test_django as plain
from tests.db.test_django import ONE, THREE, install, write
from tests.db.tool_shop import Shop

pytestmark = pytest.mark.sampled("Django led elsewhere")

app, shop = plain.app, plain.shop


def test_a_project_that_connects_before_django_is_asked_goes_to_our_database(shop: Shop):
    settings = shop.folder / "shop/settings.py"
    theirs = f'{{"ENGINE": "django.db.backends.sqlite3", "NAME": "{shop.folder}/theirs.sqlite"}}'
    settings.write_text(settings.read_text() + f"\nDATABASES = {{'default': {theirs}}}\n")
    install(shop, "django.contrib.postgres")
    manage = shop.folder / "manage.py"
    call = "    execute_from_command_line(sys.argv)"
    early = f"    import django\n    django.setup()\n{call}"
    assert call in manage.read_text()
    manage.write_text(manage.read_text().replace(call, early))
    shop.go(ONE)
    assert shop.rows() == (ONE,)
    assert not (shop.folder / "theirs.sqlite").exists()


@pytest.mark.parametrize("option", ["'dbname': 'postgres'", "'hostaddr': '127.0.0.9'"])
def test_options_of_the_project_do_not_lead_elsewhere(shop: Shop, option: str):
    settings = shop.folder / "shop/settings.py"
    settings.write_text(
        settings.read_text() + f"\nDATABASES['default']['OPTIONS'] = {{{option}}}\n"
    )
    shop.go(ONE)
    assert shop.rows() == (ONE,)


def test_the_settings_of_the_spec_win_over_those_of_manage_py(shop: Shop):
    manage = shop.folder / "manage.py"
    gentle = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')"
    hard = "os.environ['DJANGO_SETTINGS_MODULE'] = 'shop.settings'"
    assert gentle in manage.read_text()
    manage.write_text(manage.read_text().replace(gentle, hard))
    live = "from shop.settings import *\nINSTALLED_APPS = INSTALLED_APPS + ['orders']\n"
    (shop.folder / "shop/live.py").write_text(live)
    write(shop, "orders:0001_initial", ONE)
    shop.migrations["django"] = {"settings": "shop.live"}
    assert "orders:0001_initial" in shop.project().revisions


def test_a_lower_goal_whose_name_sorts_above_is_lower(shop: Shop):
    later = "people:0001b_later"
    back = "lambda a, e: e.execute('DROP TABLE later')"
    write(shop, later, THREE, "run('CREATE TABLE later (n int)')", back=back)
    shop.go(later)
    assert shop.plan(later).steps == ()
    (down,) = shop.plan(THREE).steps
    assert later not in down.revisions

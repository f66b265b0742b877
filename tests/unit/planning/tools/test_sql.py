"""Plans of tool `sql`: what is pending, what is refused, how the way back looks."""

import hashlib

import pytest

from whimbrel.model.errors import HeldError, RefusedError
from whimbrel.model.facts import Applied, Facts
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.spec import parse_spec
from whimbrel.model.steps import (
    Adopt,
    CatalogObject,
    Direction,
    IndexIsGone,
    RunAlone,
    RunFiles,
    SalvageObjects,
)
from whimbrel.planning.build import plan_down, plan_up
from whimbrel.planning.describe import describe

OWNER = "team/shop"
ALONE = "-- whimbrel: no-transaction\n"
USERS = CatalogObject("table", "public", "users")
NAME = CatalogObject("column", "public", "users", "name")
MAIL = CatalogObject("column", "public", "users", "mail")
FILES = {
    "001_users.up.sql": "CREATE TABLE users (name text)",
    "001_users.down.sql": "DROP TABLE users",
    "002_mail.up.sql": "ALTER TABLE users ADD COLUMN mail text",
    "002_mail.down.sql": "ALTER TABLE users DROP COLUMN mail",
    "003_index.up.sql": ALONE + "CREATE INDEX CONCURRENTLY i ON users (mail)",
    "003_index.down.sql": ALONE + "DROP INDEX CONCURRENTLY i",
    "004_rows.up.sql": "INSERT INTO users VALUES ('Ada')",
    "004_rows.down.sql": "TRUNCATE users",
}
ADDED = {"001": {USERS, NAME}, "002": {MAIL}}


def spec(*, rollback=None, **migrations):
    return parse_spec(
        {
            "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
            "migrations": {
                "tool": "sql",
                "inline": {"files": {"001_x.up.sql": "SELECT 1"}},
                **migrations,
            },
            "rollback": rollback or {},
        }
    )


def facts(*versions, owner=OWNER, files=FILES, **more):
    names = {name[:3]: name for name in files if name.endswith(".up.sql")}
    rows = tuple(
        Applied(
            history="default",
            version=version,
            name=names[version],
            checksum=hashlib.sha256(files[names[version]].encode()).hexdigest(),
            owner=owner,
            run="r",
            image="",
            down=files.get(names[version].replace(".up.", ".down.")),
            added=frozenset(ADDED.get(version, ())),
        )
        for version in versions
    )
    catalog = frozenset(each for version in versions for each in ADDED.get(version, ()))
    return Facts("shop", 160000, applied=rows, catalog=catalog | more.pop("catalog", set()), **more)


def up(*versions, files=FILES, owner=OWNER, facts_=None, **migrations):
    return plan_up(spec(**migrations), owner, facts_ or facts(*versions), files)


def down(*versions, to="", files=FILES, facts_=None, **options):
    return plan_down(spec(**options), OWNER, facts_ or facts(*versions), files, to)


def ids(plan):
    return [step.id for step in plan.steps]


def project(*numbers, **more):
    chosen = {name: text for name, text in FILES.items() if name[:3] in numbers}
    return chosen | more


@pytest.mark.parametrize(
    ("plan", "steps", "to"),
    [
        pytest.param(up(), ["up:default:001-002", "up:default:003", "up:default:004"], "004",
                     id="fresh: all files, the one without a transaction alone"),
        pytest.param(up("001"), ["up:default:002", "up:default:003", "up:default:004"], "004",
                     id="one applied: the others"),
        pytest.param(up("001", "002", "003", "004"), [], "004", id="all applied: nothing"),
        pytest.param(up(to="002"), ["up:default:001-002"], "002", id="explicit target"),
        pytest.param(up(to="2"), ["up:default:001-002"], "002", id="the number without zeros"),
        pytest.param(up(to="002_mail"), ["up:default:001-002"], "002", id="number and name"),
        pytest.param(up(to="002", atomicity="File"), ["up:default:001", "up:default:002"], "002",
                     id="one transaction per file"),
        pytest.param(up("001", "002", to="002"), [], "002", id="target reached: nothing"),
        pytest.param(up("001", history="blue", files=project("001", "002")), ["up:blue:002"], "002",
                     id="another history is another id"),
        pytest.param(up("001", "002", owner="team/other", files=project("001", "002")), [], "002",
                     id="same content of another object: done"),
    ],
)  # fmt: skip
def test_way_up(plan, steps, to):
    assert (plan.direction, ids(plan), plan.to, plan.ahead) == (Direction.UP, steps, to, False)


def test_database_may_be_ahead_of_head():
    plan = up("001", "002", files=project("001"))
    assert (plan.ahead, plan.steps, plan.to) == (True, (), "002")


def test_lower_target_leads_down():
    plan = up("001", "002", to="001")
    assert (plan.direction, ids(plan), plan.to) == (Direction.DOWN, ["down:default:002"], "001")
    assert plan.steps[0].salvage == (MAIL,)


@pytest.mark.parametrize(
    ("make", "reason", "words"),
    [
        pytest.param(lambda: up(to="009"), "UnknownRevision", "the last file is 004_rows.up.sql",
                     id="unknown target"),
        pytest.param(lambda: up("001", files=project("001", **{"001_users.up.sql": "SELECT 2"})),
                     "EditedFile", "001_users.up.sql was edited", id="edited file"),
        pytest.param(lambda: up("001", owner="team/b", files={"001_users.up.sql": "SELECT 2"}),
                     "Conflict", "applied by team/shop with other content", id="another's version"),
        pytest.param(lambda: up("001", "003"), "OutOfOrder", "002_mail.up.sql is not applied but",
                     id="out of order"),
        pytest.param(lambda: up(files={"001_x.up.sql": "SELEC 1"}), "SyntaxError", "001_x.up.sql",
                     id="syntax error"),
        pytest.param(lambda: up(files={"001_x.up.sql": "SELECT 1", "001_x.down.sql": "DRP"}),
                     "SyntaxError", "001_x.down.sql", id="syntax error of the way back, said now"),
        pytest.param(lambda: up(baseline="002"), "BaselineDoesNotFit", "no table users",
                     id="baseline without its tables"),
        pytest.param(lambda: up(baseline="003", to="001"), "BaselineAfterTarget", "baseline",
                     id="baseline after the target"),
        pytest.param(lambda: up(baseline="009"), "UnknownRevision", "'009'", id="unknown baseline"),
        pytest.param(lambda: down(facts_=facts("001", files=project("001") | {}), to="007"),
                     "UnknownRevision", "'007'", id="way back to an unknown version"),
        pytest.param(lambda: down(to=None), "NothingToRollBack", "no run", id="nothing was run"),
    ],
)  # fmt: skip
def test_refusals(make, reason, words):
    with pytest.raises(RefusedError) as refused:
        make()
    assert refused.value.reason == reason
    assert words in refused.value.message


def test_baseline_adopts_what_fits_and_runs_the_rest():
    known = Facts("shop", 160000, catalog=frozenset({USERS, NAME, MAIL}))
    plan = up(facts_=known, baseline="002")
    assert ids(plan) == ["adopt:default:002", "up:default:003", "up:default:004"]
    assert isinstance(plan.steps[0], Adopt)
    assert [file.version for file in plan.steps[0].files] == ["001", "002"]
    assert up("001", baseline="002").steps[0].id == "up:default:002"


def test_baseline_names_the_first_thing_that_is_missing():
    known = Facts("shop", 160000, catalog=frozenset({USERS, NAME}))
    with pytest.raises(RefusedError, match=r"no column users \(mail\)"):
        up(facts_=known, baseline="002")


def test_baseline_looks_at_what_the_files_leave_behind():
    files = {
        "001_a.up.sql": "CREATE TABLE a (x int); CREATE TABLE gone (y int); CREATE TEMP TABLE z ()",
        "002_b.up.sql": "ALTER TABLE a RENAME TO users; ALTER TABLE public.users RENAME x TO name;"
        "DROP TABLE gone; CREATE SCHEMA s CREATE TABLE inner_t (id int); DROP SCHEMA s CASCADE",
    }
    known = Facts("shop", 160000, catalog=frozenset({USERS, NAME}))
    assert ids(up(facts_=known, files=files, baseline="002")) == ["adopt:default:002"]


def test_notes_say_what_the_way_back_will_be():
    files = project("001", "004") | {"005_no.up.sql": "SELECT 1"}
    plan = up(files=files, facts_=facts(catalog={USERS, NAME}))
    assert plan.notes == (
        "005_no.up.sql has no down file: it cannot be taken back",
        "004_rows.down.sql, line 1 deletes rows of table users: TRUNCATE users: "
        "a rollback of it waits for allowDataLoss",
        "001_users.down.sql, line 1 drops table users: DROP TABLE users: "
        "a rollback of it waits for allowDataLoss",
    )


def test_several_transactions_are_said():
    assert up().notes[0].startswith("the files run in 3 transactions")


def test_plan_that_was_rolled_back_is_held():
    digest = up(to="002").digest()
    with pytest.raises(HeldError) as held:
        up(to="002", facts_=facts(rolled_back=frozenset({digest})))
    assert held.value.reason == "WasRolledBack"
    assert held.value.command == "whimbrel retry shop -n team"
    assert up(to="001", facts_=facts(rolled_back=frozenset({digest}))).steps


def test_way_back_runs_in_reverse_after_salvage():
    plan = down("001", "002", to="")
    (step,) = plan.steps
    assert isinstance(step, RunFiles)
    assert (plan.direction, plan.to, step.id) == (Direction.DOWN, "", "down:default:002-001")
    assert [run.file.version for run in step.files] == ["002", "001"]
    assert [run.statements[0].file for run in step.files] == [
        "002_mail.down.sql", "001_users.down.sql",
    ]  # fmt: skip
    # The whole table holds the column.
    assert step.salvage == (USERS,)


def test_way_back_outside_a_transaction_is_looked_up():
    plan = down("001", "002", "003", to="002")
    (step,) = plan.steps
    assert isinstance(step, RunAlone)
    assert (step.effect, step.direction) == (IndexIsGone("", "i"), Direction.DOWN)


def test_salvage_comes_before_a_statement_outside_a_transaction():
    files = {
        "001_users.up.sql": "CREATE TABLE users (name text)",
        "001_users.down.sql": ALONE + "-- whimbrel: repeatable\nDROP TABLE IF EXISTS users",
    }
    plan = down(facts_=facts("001", files=files), files=files)
    assert [type(step) for step in plan.steps] == [SalvageObjects, RunAlone]
    assert plan.notes == (
        "001_users.down.sql is marked repeatable: what it destroys cannot be known",
    )


def test_way_back_without_the_project_uses_the_ledger():
    plan = down("001", "002", files={}, to="001")
    assert plan.steps[0].files[0].statements[0].text == "ALTER TABLE users DROP COLUMN mail"


def test_way_back_of_an_edited_file_uses_the_ledger():
    files = FILES | {"002_mail.up.sql": "SELECT 2", "002_mail.down.sql": "SELECT 3"}
    plan = down("001", "002", files=files, to="001")
    assert plan.steps[0].files[0].statements[0].text == "ALTER TABLE users DROP COLUMN mail"


def test_mended_down_file_is_used():
    files = FILES | {"002_mail.down.sql": "SELECT 3; ALTER TABLE users DROP mail"}
    assert len(down("001", "002", files=files, to="001").steps[0].files[0].statements) == 2


def test_missing_way_back_is_named():
    files = {"001_users.up.sql": FILES["001_users.up.sql"]}
    with pytest.raises(RefusedError, match=r"write 001_users\.down\.sql") as refused:
        down(facts_=facts("001", files=files), files=files)
    assert refused.value.reason == "NoDown"


def test_revision_of_another_project_is_left_to_it():
    both = facts("001", owner=OWNER).applied + facts("002", owner="team/b").applied
    known = Facts("shop", 160000, applied=both)
    with pytest.raises(RefusedError, match=r"002_mail\.up\.sql was applied by team/b"):
        down(facts_=known, files=project("001"))


def test_way_back_that_loses_older_data_is_held():
    known = facts("004", catalog={USERS, NAME})
    with pytest.raises(HeldError) as held:
        down(facts_=known)
    assert held.value.reason == "WouldLoseData"
    assert "004_rows.down.sql, line 1 deletes rows of table users: TRUNCATE users" in str(
        held.value
    )
    assert held.value.command == (
        "kubectl patch dbm shop -n team --type merge "
        '-p \'{"spec":{"rollback":{"allowDataLoss":{"by":"WHO","reason":"TEXT"}}}}\''
    )
    allowed = {"allowDataLoss": {"by": "ann", "reason": "test data"}}
    assert ids(down(facts_=known, rollback=allowed)) == ["down:default:004"]


def test_rows_of_a_table_that_goes_too_are_covered():
    assert ids(down("001", "004", files=project("001", "004"))) == ["down:default:004-001"]


def test_each_transaction_is_covered_by_its_own_salvage():
    with pytest.raises(HeldError):
        down("001", "004", files=project("001", "004"), atomicity="File")


def test_before_the_last_run():
    known = facts("001", "002", last_run=("002",))
    plan = down(facts_=known, to=None)
    assert (ids(plan), plan.to) == (["down:default:002"], "001")
    known = facts("001", "002", last_run=("001",))
    with pytest.raises(RefusedError, match=r"002_mail\.up\.sql was applied later"):
        down(facts_=known, to=None)


def test_digest_depends_on_text_and_target_alone():
    assert up(to="002").digest() == up(to="002").digest()
    assert up(to="002").digest() != up(to="001").digest()
    changed = FILES | {"002_mail.up.sql": "SELECT 1"}
    assert up(to="002", files=changed).digest() != up(to="002").digest()


def test_plan_as_text():
    plan = down("001", "002", to="001")
    assert describe(plan) == (
        "Direction: down to 001\n"
        f"Digest: {plan.digest()}\n"
        "\n"
        "Step 1: one transaction, 1 file(s)\n"
        "  salvage, if it holds data: column public.users (mail)\n"
        "  002_mail.down.sql\n"
        "       1  ALTER TABLE users DROP COLUMN mail"
    )
    assert "Nothing to do: the database is as asked for." in describe(up("001", "002", to="002"))
    ahead = RunnerPlan(Direction.UP, "002", ahead=True)
    assert "newer than what was asked for" in describe(ahead)
    text = describe(up(facts_=Facts("s", 1, catalog=frozenset({USERS, NAME})), baseline="001"))
    assert "record as applied, run nothing\n  001_users.up.sql" in text
    assert "003_index.up.sql, outside a transaction" in text

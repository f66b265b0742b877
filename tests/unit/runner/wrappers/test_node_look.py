"""What an `inspect` in Node says that it has read, and where it says that it does not know."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.runner.wrappers.test_node_protocol import node

Looked = Callable[..., tuple[set[str], set[str], str]]
PROGRAM = (
    "run(async () => { await projectRequire('./config.js').work?.(); inspected({heads: []}); });"
)
KINDS = ("files", "folders")


@pytest.fixture
def looked(tmp_path: Path, monkeypatch) -> Looked:
    """Return files and folders below the parent of the project, and the doubt."""
    app = tmp_path / "app"
    app.mkdir()

    def run(config: str, **files: str) -> tuple[set[str], set[str], str]:
        for name, text in {"config.js": config, **files}.items():
            (app / name).parent.mkdir(parents=True, exist_ok=True)
            (app / name).write_text(text)
        code, told, output = node(app, monkeypatch, PROGRAM, "", "inspect")
        assert code == 0, output
        found = [[each[kind] for each in told if each["kind"] == "look"] for kind in KINDS]
        assert told[-1]["looks"] == (len(found[0]) or None)
        inside = re.compile(rf"{tmp_path}(/|$)")
        names = [{inside.sub("", x) for some in lists for x in some if inside.match(x)}
                 for lists in found]  # fmt: skip
        return *names, told[-1]["doubt"]

    return run


@pytest.mark.parametrize(
    ("config", "files", "folders"),
    [
        ("fs.readFileSync('../a')", {"a"}, set()),
        ("fs.existsSync('../gone/a')", {"gone/a"}, set()),
        ("fs.readdirSync(new URL('file://' + process.cwd() + '/../app/../'))", set(), {""}),
        ("exports.work = () => fs.promises.readFile('../a')", {"a"}, set()),
        ("exports.work = () => fs.promises.stat('..')", set(), set()),
        ("exports.work = () => new Promise((end) => fs.readFile('../a', end))", {"a"}, set()),
        ("exports.work = () => new Promise((end) => fs.createReadStream('../a').on('data', end))",
         {"a"}, set()),
        ("exports.work = () => import('./esm.mjs')", {"a"}, set()),
        ("fs.writeFileSync('../log', 'x')", set(), set()),
        ("fs.readFileSync('config.js')", set(), set()),
        ("require('../b')", {"b.js", "package.json"}, {""}),
        ("try { require('../c') } catch {}", set(), {""}),
        ("try { require('not-there') } catch {}", set(), {"app/node_modules"}),
        ("require('listed')", {"app/node_modules/listed/package.json"}, {"app/node_modules"}),
        ("require('unlisted')", {"app/node_modules/unlisted/index.js"},
         {"app/node_modules/unlisted"}),
        ("fs.readFileSync('node_modules/.state')", {"app/node_modules/.state"}, set()),
    ],
)  # fmt: skip
def test_what_is_read_elsewhere_is_named(looked: Looked, tmp_path: Path, config, files, folders):
    (tmp_path / "a").write_text("a")
    (tmp_path / "b.js").write_text("")
    packages = {"node_modules/listed": {"integrity": "sha512-x"}, "node_modules/unlisted": {}}
    found = looked(
        f"const fs = require('fs');\n{config};",
        **{
            "esm.mjs": "import { readFileSync } from 'node:fs'; readFileSync('../a');",
            "node_modules/.package-lock.json": json.dumps({"packages": packages}),
            "node_modules/listed/index.js": "",
            "node_modules/unlisted/index.js": "",
            "node_modules/.state": "",
        },
    )
    assert found[2] == ""
    every = {"app/node_modules/.package-lock.json"}
    assert files | every <= found[0] <= files | every | {
        "package.json", "app/node_modules/unlisted/package.json", "app/node_modules/package.json",
    }  # fmt: skip
    assert folders <= found[1]
    assert not {"log", "app/config.js"} & found[0]


@pytest.mark.parametrize(
    ("config", "doubt"),
    [
        ("require('child_process').execSync('true')", "another program"),
        ("require('child_process').spawn('true')", "another program"),
        ("new (require('worker_threads').Worker)('', {eval: true})", "another program or thread"),
        ("require('fs').readdirSync('..', {recursive: true})", "many files at once"),
        ("require('../link/b')", "a link"),
        ("require('linked')", "a link"),
        ("exports.work = () => import('./' + 'c.mjs')", "an import of a name"),
        ("exports.work = () => import('./json.mjs')", "an import of a name"),
        ("exports.work = () => import('./outside.mjs')", "lead out"),
        ("for (let i = 0; i < 2000; i++) require('fs').existsSync('../' + i)", "too many files"),
    ],
)  # fmt: skip
def test_where_it_cannot_be_known_nothing_is_told(looked: Looked, tmp_path: Path, config, doubt):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/b.js").write_text("")
    (tmp_path / "real/b.mjs").write_text("")
    (tmp_path / "real/index.js").write_text("")
    (tmp_path / "link").symlink_to("real")
    if "linked" in config:
        (tmp_path / "app/node_modules").mkdir()
        (tmp_path / "app/node_modules/linked").symlink_to("../../real")
    files, folders, said = looked(
        config,
        **{
            "c.mjs": "",
            "json.mjs": "await import('./d.json', { with: { type: 'json' } }).catch(() => {});",
            "outside.mjs": "import '../real/b.mjs';",
        },
    )
    assert doubt in said
    assert files == folders == set()


def test_options_that_load_something_before_us_are_a_doubt(looked: Looked, monkeypatch):
    monkeypatch.setenv("NODE_OPTIONS", "--max-old-space-size=300 --enable-source-maps")
    assert looked("")[2] == ""
    monkeypatch.setenv("NODE_OPTIONS", "--max-old-space-size=300 --require=./first.js")
    assert "NODE_OPTIONS" in looked("", **{"first.js": ""})[2]

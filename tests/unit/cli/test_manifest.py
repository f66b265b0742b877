from pathlib import Path

import pytest

from whimbrel.cli.manifest import looks_like_file, read_manifest
from whimbrel.model.errors import WhimbrelError

HEAD = "apiVersion: whimbrel.dev/v1alpha1\nkind: DatabaseMigration\nmetadata: {name: shop}\n"
SPEC = (
    "spec:\n  database: {urlFrom: {secretKeyRef: {name: db, key: url}}}\n"
    "  migrations: {tool: sql, configMapRef: {name: files}}\n"
)
FILES = (
    "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: files}\n"
    "data: {001_a.up.sql: 'CREATE TABLE a (n int);'}\n"
)


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "shop.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_reads_the_object_and_the_config_maps_beside_it(tmp_path):
    manifest = read_manifest(written(tmp_path, HEAD + SPEC + FILES))
    assert (manifest.namespace, manifest.name) == ("", "shop")
    assert manifest.config_maps == {"files": {"001_a.up.sql": "CREATE TABLE a (n int);"}}
    assert manifest.spec.limits.lock_timeout == 0.1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("a: [", "is not YAML, line", id="not YAML"),
        pytest.param("just words", "not a Kubernetes manifest", id="YAML, but a string"),
        pytest.param("", "found: nothing", id="empty"),
        pytest.param("kind: Pod", "found: Pod", id="another kind"),
        pytest.param("a: \0", "#x0000", id="NUL"),
        pytest.param(b"a: \xff\xfe", "is not UTF-8", id="not UTF-8"),
        pytest.param("a: 1\na: 2", "'a' stands twice", id="the same key twice"),
        pytest.param(HEAD + SPEC + "---\n" + HEAD + SPEC, "holds 2 objects", id="two objects"),
        pytest.param(HEAD, "has no `spec`", id="no spec"),
        pytest.param(HEAD + "spec: {}", "spec.database: Field required", id="empty spec"),
        pytest.param(
            HEAD.replace("shop", "Shop_1") + SPEC, "metadata.name must be", id="impossible name"
        ),
        pytest.param(
            HEAD.replace("v1alpha1", "v9") + SPEC, "apiVersion of the", id="another version"
        ),
        pytest.param("[" * 5000, "is ", id="nested without an end"),
        pytest.param(b"x" * (9 * 1024 * 1024), "larger than 8 MiB", id="huge"),
    ],
)
def test_a_bad_file_gives_one_sentence_that_names_the_problem(tmp_path, text, words):
    with pytest.raises(WhimbrelError) as refused:
        read_manifest(written(tmp_path, text))
    assert words in refused.value.message
    assert "\n" not in refused.value.message


def test_a_missing_file_and_a_directory_are_named(tmp_path):
    with pytest.raises(WhimbrelError, match="No such file"):
        read_manifest(tmp_path / "nothing.yaml")
    with pytest.raises(WhimbrelError, match="is a directory"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("word", "expected"),
    [("shop", False), ("shop.yaml", True), ("./shop", True), ("shop.json", True)],
)
def test_a_word_means_a_file_when_it_looks_like_one(word, expected):
    assert looks_like_file(word) is expected

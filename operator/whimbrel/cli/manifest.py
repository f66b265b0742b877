"""A manifest file: one DatabaseMigration, and the ConfigMaps that stand beside it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from whimbrel.machine.names import GROUP, KIND, VERSION
from whimbrel.model.errors import RefusedError
from whimbrel.model.spec import Spec, parse_spec

API_VERSION: Final = f"{GROUP}/{VERSION}"
# etcd takes objects of at most 1.5 MiB by default (etcd manual, --max-request-bytes); a file may
# hold a few of them.
MAX_BYTES: Final = 8 * 1024 * 1024
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(frozen=True)
class Manifest:
    """What a manifest file says.

    Attributes:
        namespace: As written in the file, or "".
        config_maps: Data of the ConfigMaps in the same file, by name.
    """

    path: Path
    namespace: str
    name: str
    spec: Spec
    config_maps: Mapping[str, Mapping[str, str]]


def read_manifest(path: Path) -> Manifest:
    """Return the one DatabaseMigration of a file.

    Raises:
        RefusedError: The file is not readable, not YAML, or holds no or several of them.
        SpecError: The object itself is wrong.
    """
    documents = _documents(path, _text(path))
    wanted = [each for each in documents if each.get("kind") == KIND]
    if len(wanted) != 1:
        raise _refused(path, _count_problem(documents, len(wanted)))
    namespace, name = _identity(path, wanted[0])
    spec = wanted[0].get("spec")
    if not isinstance(spec, dict):
        raise _refused(path, "the DatabaseMigration has no `spec`")
    return Manifest(path.resolve(), namespace, name, parse_spec(spec), _config_maps(documents))


def looks_like_file(word: str) -> bool:
    """Return whether a word on the command line means a file and not a name."""
    return word.endswith((".yaml", ".yml", ".json")) or "/" in word or Path(word).is_file()


def _text(path: Path) -> str:
    try:
        if path.is_dir():
            raise _refused(path, "is a directory, not a manifest file")
        if path.stat().st_size > MAX_BYTES:
            raise _refused(path, f"is larger than {MAX_BYTES // 1024 // 1024} MiB")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _refused(path, f"is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}") from None


def _documents(path: Path, text: str) -> list[dict[str, Any]]:
    try:
        documents = [each for each in yaml.load_all(text, _Loader) if each is not None]
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise _refused(path, f"is not YAML{line}: {error.problem}") from None
    except yaml.reader.ReaderError as error:
        place = f"character {error.position} (#x{error.character:04x})"
        raise _refused(path, f"is not YAML: {place} is not allowed in it") from None
    except RecursionError:
        raise _refused(path, "is nested too deeply") from None
    if not all(isinstance(each, dict) for each in documents):
        raise _refused(path, "is YAML, but not a Kubernetes manifest (a mapping with `kind`)")
    return documents


class _Loader(yaml.SafeLoader):
    """The safe loader, which refuses a key that stands twice (YAML 1.2, section 3.2.1.3)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a node."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen and key.value != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


def _count_problem(documents: list[dict[str, Any]], count: int) -> str:
    if count > 1:
        return f"holds {count} objects of kind {KIND}; put each into a file of its own"
    kinds = ", ".join(sorted({str(each.get("kind", "no kind")) for each in documents}))
    return f"holds no object of kind {KIND} (found: {kinds or 'nothing'})"


def _identity(path: Path, document: dict[str, Any]) -> tuple[str, str]:
    if document.get("apiVersion") != API_VERSION:
        raise _refused(path, f"apiVersion of the {KIND} must be {API_VERSION}")
    metadata = document.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name = metadata.get("name")
    namespace = metadata.get("namespace", "")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _refused(path, "metadata.name must be lower-case letters, digits, `-` and `.`")
    if not isinstance(namespace, str) or (namespace and not _NAME.fullmatch(namespace)):
        raise _refused(path, "metadata.namespace must be lower-case letters, digits and `-`")
    return namespace, name


def _config_maps(documents: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    found = {}
    for document in documents:
        data = document.get("data")
        if document.get("kind") == "ConfigMap" and isinstance(data, dict):
            name = str((document.get("metadata") or {}).get("name", ""))
            found[name] = {str(key): str(value) for key, value in data.items()}
    return found


def _refused(path: Path, problem: str) -> RefusedError:
    return RefusedError("BadManifest", f"{path}: {problem}")

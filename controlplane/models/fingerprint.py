"""What a version is: a digest over its artefacts, and the signature it promises."""

from __future__ import annotations

import hashlib
import json
import marshal
from dataclasses import dataclass
from importlib.util import MAGIC_NUMBER, cache_from_source, source_from_cache
from pathlib import Path
from typing import Any

from controlplane.models.failures import failures_of
from controlplane.models.registered import describe

_WRITTEN_BY_DOWNLOADS = Path("registered_model_meta")
_CHUNK = 1 << 20
_HEADER = 16


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A version's artefacts by SHA-256, and its inputs and outputs in one spelling; empty where it states none."""

    digest: str
    signature: str


def fingerprint(address: str, version: str, tracking_uri: str) -> Fingerprint:
    """Digest every artefact of a version and read its signature, without loading it; raises CheckError.

    The digest covers each file's path and bytes in the order of the paths, so that it is the same wherever the
    artefacts lie; what MLflow adds to a download is left out. Call it in a worker: MLflow is imported.
    """
    with failures_of(version, "reading its artefacts"):
        folder, described = describe(address, tracking_uri)
        return Fingerprint(digest_of(Path(folder)), _spelling(described.signature))


def digest_of(folder: Path) -> str:
    """SHA-256 over the paths and bytes of all files in a folder, in hexadecimal.

    What Python compiled of a source beside it is left out: whoever loads a model where it lies leaves that behind.
    """
    whole = hashlib.sha256()
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    files.pop(_WRITTEN_BY_DOWNLOADS, None)
    for place, path in sorted(files.items()):
        if _is_compiled(path):
            continue
        name = place.as_posix().encode()
        whole.update(len(name).to_bytes(8, "big") + name + path.stat().st_size.to_bytes(8, "big"))
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                whole.update(chunk)
    return whole.hexdigest()


def _is_compiled(path: Path) -> bool:
    """Whether a file is what Python made of the source beside it, or another Python did, which this one never reads."""
    try:
        source = Path(source_from_cache(str(path)))
        if not source.is_file():
            return False
        if cache_from_source(str(source)) != str(path):
            return True
        held = path.read_bytes()
        code = compile(source.read_bytes(), source, "exec", dont_inherit=True)
        return held[:4] != MAGIC_NUMBER or marshal.loads(held[_HEADER:]) == code
    except (ValueError, EOFError, TypeError, SyntaxError):
        return False


def _spelling(signature: Any) -> str:
    if signature is None:
        return ""
    said = signature.to_dict()
    parts = {name: json.loads(said[name]) for name in ("inputs", "outputs") if said.get(name)}
    return json.dumps(parts, sort_keys=True)

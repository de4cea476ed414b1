"""The model package: the folder that training hands to serving.

    manifest.json  encode.onnx  net.onnx  decode.onnx  golden.npz  holdout.npz  report/…

Training writes the graphs, golden and held-out rows and the report, then seals it; from then on
every file is held by its SHA-256 in the manifest. Shapes: B rows, G goals, F features.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from penchant.clients.wire_contract import WireContract, read_contract
from penchant.serving.golden import GoldenRows, read_golden
from penchant.serving.holdout import HOLDOUT, HoldoutRows, read_holdout

MANIFEST: Final = "manifest.json"
ENCODE: Final = "encode.onnx"
NET: Final = "net.onnx"
DECODE: Final = "decode.onnx"
GOLDEN: Final = "golden.npz"
REQUIRED_FILES: Final = (ENCODE, NET, DECODE, GOLDEN)

LIBRARIES: Final = ("numpy", "torch", "pytorch-lightning", "onnx", "onnxruntime", "mlflow")
"""Libraries whose versions a package records, where they are installed."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a package says about itself."""

    contract: WireContract
    """The wire contract, with the model's name and kind."""
    data_fingerprint: str
    """Digest of the table that the model was trained on."""
    code_revision: str
    """Revision of the code that trained it."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Metrics on data that training did not see, by ``<goal>/<metric>``."""
    calibration: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the calibration folded into the net, as JSON values."""
    libraries: Mapping[str, str] = field(default_factory=dict)
    """Version by library, and that of Python."""
    created_at: str = ""
    """When the package was sealed: ISO 8601, UTC."""
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 by path relative to the package, with forward slashes."""

    @property
    def name(self) -> str:
        """Public model name."""
        return self.contract.model

    @property
    def kind(self) -> str:
        """Kind of model."""
        return self.contract.kind

    def to_json(self) -> str:
        """The manifest as JSON, its own digest included."""
        body = asdict(self) | {
            "contract": json.loads(self.contract.to_json()),
            "name": self.name,
            "kind": self.kind,
        }
        return json.dumps(body | {"digest": _digest(body)}, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: if the text is no manifest or was edited.
        """
        try:
            body = json.loads(text)
            digest = body.pop("digest")
            known = {f.name: body[f.name] for f in fields(cls)}
            contract = read_contract(json.dumps(known.pop("contract")))
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{MANIFEST}: expected the JSON object that sealing writes, got {text[:80]!r} "
                f"({type(error).__name__}: {error}); take the package from the registry again"
            ) from error
        if digest != _digest(body):
            raise ValueError(
                f"{MANIFEST}: expected digest {digest}, got {_digest(body)}: it was edited after "
                "sealing; take the package from the registry again"
            )
        return cls(contract=contract, **known)


@dataclass(frozen=True)
class ModelPackage:
    """A sealed folder whose every file was checked against the manifest."""

    folder: Path
    manifest: Manifest

    @property
    def contract(self) -> WireContract:
        """The wire contract."""
        return self.manifest.contract

    @property
    def encode(self) -> Path:
        """Graph of raw rows to tensors."""
        return self.folder / ENCODE

    @property
    def net(self) -> Path:
        """Graph of tensors to tensors: the model itself."""
        return self.folder / NET

    @property
    def decode(self) -> Path:
        """Graph that names the outputs, and ids in them."""
        return self.folder / DECODE

    def golden(self) -> GoldenRows:
        """Raw rows with the PyTorch model's answers.

        Raises:
            ValueError: if the tensors are not those of the contract.
        """
        return read_golden(self.folder / GOLDEN, self.contract)

    def holdout(self) -> HoldoutRows | None:
        """Held-out rows with what happened; None where the package carries none.

        Raises:
            ValueError: if the tensors are not those of the contract.
        """
        return read_holdout(self.folder / HOLDOUT, self.contract)

    @classmethod
    def seal(
        cls,
        folder: Path,
        *,
        contract: WireContract,
        data_fingerprint: str,
        code_revision: str,
        metrics: Mapping[str, float],
        calibration: Mapping[str, Any],
    ) -> ModelPackage:
        """Write the manifest over the files that lie in ``folder``, and open the package.

        The manifest appears by one rename, last: a folder without it is no package.

        Raises:
            ValueError: if a graph or the golden rows are missing.
        """
        manifest = Manifest(
            contract=contract,
            data_fingerprint=data_fingerprint,
            code_revision=code_revision,
            metrics=dict(metrics),
            calibration=dict(calibration),
            libraries=_installed_libraries(),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            files={name: _sha256(folder / name) for name in _file_names(folder)},
        )
        _require_files(folder, manifest.files)
        partial = folder / f".{MANIFEST}.partial"
        with partial.open("w", encoding="utf-8") as file:
            file.write(manifest.to_json())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / MANIFEST)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> ModelPackage:
        """Open a sealed folder and check every file of it.

        Raises:
            ValueError: if a file is missing, extra, edited, truncated or a link, a graph keeps data
                outside the folder, or the contract holds a name that no model can have; the message
                names the file or the field, and the remedy.
        """
        try:
            text = (folder / MANIFEST).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(
                f"package {folder}: expected a readable {MANIFEST}, got {type(error).__name__}; "
                "name the folder of a sealed package, or train again"
            ) from error
        manifest = Manifest.from_json(text)
        _require_files(folder, manifest.files)
        _check_files(folder, manifest.files)
        for name in (ENCODE, NET, DECODE):
            _check_external_data(folder, name, manifest.files)
        return cls(folder, manifest)


def _digest(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file_names(folder: Path) -> list[str]:
    """Relative paths of all files but the manifest, sorted; links are refused."""
    if not folder.is_dir():
        raise ValueError(f"package: expected a folder, got {folder}; train first")
    names = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ValueError(
                f"package {folder}: expected plain files, got a link or device at {name!r}; "
                "put the file itself there"
            )
        if path.is_file() and name not in (MANIFEST, f".{MANIFEST}.partial"):
            names.append(name)
    return names


def _require_files(folder: Path, files: Mapping[str, str]) -> None:
    missing = [name for name in REQUIRED_FILES if name not in files]
    if missing:
        raise ValueError(
            f"package {folder}: expected {', '.join(REQUIRED_FILES)}, got no {', '.join(missing)}; "
            "write the missing files before sealing"
        )


def _check_files(folder: Path, files: Mapping[str, str]) -> None:
    present = _file_names(folder)
    remedy = "take the package from the registry again, or train again"
    for name in sorted(set(files) - set(present)):
        raise ValueError(f"package {folder}: expected the file {name!r}, got none; {remedy}")
    for name in sorted(set(present) - set(files)):
        raise ValueError(
            f"package {folder}: expected only the files of the manifest, got also {name!r}; "
            f"remove it, or {remedy}"
        )
    for name in present:
        got = _sha256(folder / name)
        if got != files[name]:
            size = (folder / name).stat().st_size
            raise ValueError(
                f"package {folder}: expected {name!r} with SHA-256 {files[name]}, got {got} "
                f"({size} bytes): it was edited or truncated after sealing; {remedy}"
            )


def _check_external_data(folder: Path, name: str, files: Mapping[str, str]) -> None:
    """Refuse a graph whose weights lie in a file that the manifest does not hold."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(folder / name), load_external_data=False)
    except DecodeError as error:
        raise ValueError(
            f"package {folder}: expected an ONNX graph in {name!r}, got other content; train again"
        ) from error
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location" and entry.value not in files:
                raise ValueError(
                    f"package {folder}: expected the data of tensor {tensor.name!r} in {name!r} to "
                    f"lie in a file of the package, got {entry.value!r}; export the weights inside"
                )


def _installed_libraries() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions

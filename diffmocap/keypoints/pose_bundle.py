"""Makes pose landmarker bundles (``.task``) from the networks that MediaPipe published.

MediaPipe's Tasks interface takes a bundle: a zip archive of the network that finds a person and of the one that places
the 33 landmarks. The landmark network comes in three sizes (lite, full, heavy) of one shape. Old releases carry it
without the metadata that tell the interface how to normalise an image, and without them its landmarks are wrong. So
they are added here. The same input gives the same bytes.
"""

from __future__ import annotations

import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from diffmocap.errors import ModelFileError
from diffmocap.keypoints.mediapipe_import import import_mediapipe
from diffmocap.resources import verified_model

#: The bundle that ships, and the largest landmark network of each size [bytes]: 2.8, 6.4 and 27.7 MB were published.
SHIPPED_BUNDLE = "pose_landmarker_full.task"
LARGEST = {"lite": 4_000_000, "full": 14_000_000, "heavy": 64_000_000}
#: Names inside a bundle, as the Tasks interface looks them up.
DETECTOR, LANDMARKS = BUNDLE_PARTS = ("pose_detector.tflite", "pose_landmarks_detector.tflite")
WHERE_TO_GET = (
    "`npm pack @mediapipe/pose` downloads an archive that holds lite, full and heavy, and `pip download --no-deps "
    "--only-binary=:all: --python-version 3.12 mediapipe==0.10.21` a wheel that holds full"
)

_DETECTOR_FILE = "pose_detection.tflite"
_DETECTOR_SHAPE, _LANDMARK_SHAPE = (1, 224, 224, 3), (1, 256, 256, 3)
_LANDMARK_OUTPUTS = 5
_METADATA = "TFLITE_METADATA"
#: Networks in a bundle are read in place, so their weights must be aligned in the file.
_ALIGNMENT = 64


@dataclass(frozen=True)
class Networks:
    """The two networks of a bundle as they were published; ``detector`` is None where the source has none."""

    landmarks: bytes
    detector: bytes | None
    origin: str


def make_bundle(size: str, source: Path, out: Path) -> str:
    """Writes the bundle of a size to ``out`` and returns where its landmark network came from.

    Args:
        size: lite, full or heavy.
        source: the network itself (``.tflite``), or a folder, wheel, zip or tar archive that holds it.
        out: the file to write; it is replaced when all went well.

    Raises:
        ModelFileError: the source is missing, damaged, of another size or of another kind.
        SetupError: MediaPipe is not installed.
        OSError: ``out`` cannot be written.
    """
    networks = find_networks(size, source)
    landmarks = with_normalisation(_checked(networks.landmarks, size, networks.origin), mean=0.0, std=255.0)
    if networks.detector is None:
        with zipfile.ZipFile(verified_model(SHIPPED_BUNDLE)) as shipped:
            detector = shipped.read(DETECTOR)
    else:
        detector = with_normalisation(networks.detector, mean=127.5, std=127.5)
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as bundle:
            for name, network in zip(BUNDLE_PARTS, (detector, landmarks)):
                bundle.writestr(_aligned_entry(name, bundle.fp.tell()), network)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return networks.origin


def find_networks(size: str, source: Path) -> Networks:
    """The networks that a source holds; see :func:`make_bundle`."""
    if not source.exists():
        raise ModelFileError(f"there is no '{source}'; {WHERE_TO_GET}")
    if _is_tflite(source):
        return Networks(source.read_bytes(), None, f"'{source}'")
    wanted = f"pose_landmark_{size}.tflite"
    found: dict[str, bytes] = {}
    names: set[str] = set()
    for name, length, read in _members(source):
        base = PurePosixPath(name).name
        names.add(base)
        if base in (wanted, _DETECTOR_FILE) and base not in found:
            if length > max(LARGEST.values()):
                raise ModelFileError(f"{name} in '{source}' has {length / 1e6:.0f} MB, too much for a pose network")
            found[base] = read()
    if wanted in found:
        return Networks(found[wanted], found.get(_DETECTOR_FILE), f"{wanted} of '{source}'")
    if set(BUNDLE_PARTS) <= names:
        raise ModelFileError(f"'{source}' is a bundle already: use it as it is (--task-file, parameter task_file)")
    others = [s for s in LARGEST if f"pose_landmark_{s}.tflite" in names]
    held = f"it holds {' and '.join(others)}" if others else "and none of another size"
    raise ModelFileError(f"there is no {wanted} in '{source}' ({held}); {WHERE_TO_GET}")


def with_normalisation(model: bytes, mean: float, std: float) -> bytes:
    """A TFLite model whose metadata say that pixels go in as (value - mean) / std; one that has metadata is returned.

    Nothing of the model is touched or moved: a new root table, with the metadata beside it, is put in front of it and
    refers to what is there. https://ai.google.dev/edge/litert/models/metadata
    """
    flatbuffers, schema, _ = _flatbuffers()
    old = schema.Model.GetRootAsModel(model, 0)
    entries = [old.Metadata(i) for i in range(old.MetadataLength())]
    if any(entry.Name() == _METADATA.encode() for entry in entries):
        return model
    model += bytes(-len(model) % _ALIGNMENT)
    builder = flatbuffers.Builder(0)
    builder.Bytes, builder.head, builder.minalign = bytearray(model), 0, 16

    def there(position: int) -> int:
        """Offset, as the builder counts them (from the end), of a place in the model."""
        return len(model) - position

    def vector(offsets: list[int]) -> int:
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()

    content = _metadata(mean, std)
    builder.StartVector(1, len(content), 16)
    builder.head -= len(content)
    builder.Bytes[builder.head : builder.head + len(content)] = content
    data = builder.EndVector()
    schema.BufferStart(builder)
    schema.BufferAddData(builder, data)
    buffers = [there(old.Buffers(i)._tab.Pos) for i in range(old.BuffersLength())] + [schema.BufferEnd(builder)]
    buffers_vector = vector(buffers)
    name = builder.CreateString(_METADATA)
    schema.MetadataStart(builder)
    schema.MetadataAddName(builder, name)
    schema.MetadataAddBuffer(builder, len(buffers) - 1)
    entry = schema.MetadataEnd(builder)
    metadata_vector = vector([there(e._tab.Pos) for e in entries] + [entry])
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, old.Version())
    for field, add in (
        (1, schema.ModelAddOperatorCodes), (2, schema.ModelAddSubgraphs), (3, schema.ModelAddDescription),
        (5, schema.ModelAddMetadataBuffer), (7, schema.ModelAddSignatureDefs),
    ):  # fmt: skip
        if place := old._tab.Offset(4 + 2 * field):
            add(builder, there(old._tab.Indirect(old._tab.Pos + place)))
    schema.ModelAddBuffers(builder, buffers_vector)
    schema.ModelAddMetadata(builder, metadata_vector)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def _metadata(mean: float, std: float) -> bytes:
    """Model metadata with one input, an RGB image, and its normalisation."""
    flatbuffers, _, schema = _flatbuffers()
    options = schema.NormalizationOptionsT()
    options.mean, options.std = [mean], [std]
    unit = schema.ProcessUnitT()
    unit.optionsType, unit.options = schema.ProcessUnitOptions.NormalizationOptions, options
    image = schema.TensorMetadataT()
    image.name, image.processUnits, image.content = "image", [unit], schema.ContentT()
    image.content.contentPropertiesType = schema.ContentProperties.ImageProperties
    image.content.contentProperties = schema.ImagePropertiesT()
    image.content.contentProperties.colorSpace = schema.ColorSpaceType.RGB
    graph = schema.SubGraphMetadataT()
    graph.inputTensorMetadata = [image]
    whole = schema.ModelMetadataT()
    whole.name, whole.subgraphMetadata, whole.minParserVersion = "pose", [graph], "1.0.0"
    builder = flatbuffers.Builder(0)
    builder.Finish(whole.Pack(builder), b"M001")
    return bytes(builder.Output())


def _checked(model: bytes, size: str, origin: str) -> bytes:
    """The model, when it is a landmark network of that size."""
    _, schema, _ = _flatbuffers()
    try:
        if model[4:8] != b"TFL3":
            raise ValueError("it does not begin as a TFLite model does")
        graph = schema.Model.GetRootAsModel(model, 0).Subgraphs(0)
        shape = tuple(int(n) for n in graph.Tensors(graph.Inputs(0)).ShapeAsNumpy())
        outputs = graph.OutputsLength()
    except Exception as error:  # flatbuffers raises whatever reading beyond the end of a damaged file raises
        raise ModelFileError(f"{origin} is damaged ({type(error).__name__}: {error}); {WHERE_TO_GET}") from error
    if shape == _DETECTOR_SHAPE:
        raise ModelFileError(f"{origin} is the network that finds people, not that of their landmarks; {WHERE_TO_GET}")
    if shape != _LANDMARK_SHAPE or outputs != _LANDMARK_OUTPUTS:
        raise ModelFileError(
            f"{origin} is another network (input {list(shape)}, {outputs} outputs), not one of pose landmarks (input "
            f"{list(_LANDMARK_SHAPE)}, {_LANDMARK_OUTPUTS} outputs); {WHERE_TO_GET}"
        )
    found = next((name for name, largest in LARGEST.items() if len(model) <= largest), "")
    if found != size:
        raise ModelFileError(
            f"{origin} has {len(model) / 1e6:.1f} MB, so it is {found or 'none that is known'}, not {size}"
            + (f"; for {found} run `diffmocap models {found} FILE`" if found else f"; {WHERE_TO_GET}")
        )
    return model


def _is_tflite(path: Path) -> bool:
    if not path.is_file() or path.stat().st_size > max(LARGEST.values()):
        return False
    with open(path, "rb") as file:
        return file.read(8)[4:] == b"TFL3"


def _members(source: Path) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """Name, size in bytes, and a function that reads it, of each file in a folder or an archive."""
    if source.is_dir():
        for path in sorted(p for p in source.rglob("*.tflite") if p.is_file()):
            yield str(path.relative_to(source)), path.stat().st_size, path.read_bytes
        return
    try:
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                for info in archive.infolist():
                    yield info.filename, info.file_size, partial(archive.read, info)
            return
        with tarfile.open(source) as archive:
            for member in archive:
                if member.isfile():
                    yield member.name, member.size, archive.extractfile(member).read
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise ModelFileError(
            f"'{source}' ({source.stat().st_size} bytes) is no TFLite model, wheel, zip or tar archive, or it is cut "
            f"off: {error}; {WHERE_TO_GET}"
        ) from error


def _aligned_entry(name: str, position: int) -> zipfile.ZipInfo:
    """Archive entry whose content begins at a multiple of the alignment, with a date that is always the same."""
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    header = zipfile.sizeFileHeader + len(name) + 4  # an extra field has a head of four bytes
    padding = -(position + header) % _ALIGNMENT
    entry.extra = b"\x00\xd9" + padding.to_bytes(2, "little") + bytes(padding)
    return entry


def _flatbuffers() -> tuple[Any, Any, Any]:
    """The flatbuffers package and MediaPipe's modules for TFLite models and their metadata."""
    import_mediapipe()
    import flatbuffers
    from mediapipe.tasks.metadata import metadata_schema_py_generated, schema_py_generated

    return flatbuffers, schema_py_generated, metadata_schema_py_generated

"""Bundles are made of the networks that MediaPipe published, and of nothing else."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile

import numpy as np
import pytest

from diffmocap.errors import ModelFileError
from diffmocap.keypoints.pose_bundle import DETECTOR, LANDMARKS, make_bundle
from diffmocap.resources import manifest, verified_model

SHIPPED = "pose_landmarker_full.task"


@pytest.fixture(scope="module")
def shipped() -> dict[str, bytes]:
    """The shipped bundle's networks by their names in it."""
    with zipfile.ZipFile(verified_model(SHIPPED)) as bundle:
        return {name: bundle.read(name) for name in bundle.namelist()}


@pytest.fixture(scope="module")
def published(shipped) -> bytes:
    """The landmark network as MediaPipe published it: what is behind the metadata that were put in front of it."""
    content = shipped[LANDMARKS]
    return content[content.index(b"TFL3", 8) - 4 :]


def archive(folder, name, files):
    path = folder / name
    if name.endswith(".tgz"):
        with tarfile.open(path, "w:gz", compresslevel=1) as tar:
            for member, content in files.items():
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    else:
        with zipfile.ZipFile(path, "w") as zipped:
            for member, content in files.items():
                zipped.writestr(member, content)
    return path


def test_the_shipped_networks_are_mediapipes_byte_for_byte(shipped, published):
    expected = manifest()["files"][SHIPPED]["source_sha256"]
    assert hashlib.sha256(published).hexdigest() == expected["pose_landmark_full.tflite"]
    assert hashlib.sha256(shipped[DETECTOR]).hexdigest() == expected["pose_detection.tflite"]


def test_the_shipped_bundle_is_made_again_to_the_byte_from_all_kinds_of_sources(shipped, published, tmp_path):
    name = "pose_landmark_full.tflite"
    (tmp_path / "own.tflite").write_bytes(published)
    unpacked = tmp_path / "node_modules/@mediapipe/pose"
    unpacked.mkdir(parents=True)
    (unpacked / name).write_bytes(published)
    wheel = {
        f"mediapipe/modules/pose_landmark/{name}": published,
        "mediapipe/modules/pose_detection/pose_detection.tflite": shipped[DETECTOR],
    }
    sources = (
        tmp_path / "own.tflite",
        tmp_path / "node_modules",
        archive(tmp_path, "mediapipe-pose-0.5.tgz", {f"package/{name}": published, "package/README.md": b"x"}),
        archive(tmp_path, "mediapipe-0.10.21.whl", wheel),
    )
    for source in sources:
        out = tmp_path / "made.task"
        make_bundle("full", source, out)
        assert out.read_bytes() == verified_model(SHIPPED).read_bytes(), source
    assert not list(tmp_path.glob(".made*")), "a temporary file was left"


def test_weights_stay_aligned_in_the_file(shipped):
    """Or MediaPipe copies them, and says so at every start."""
    with zipfile.ZipFile(verified_model(SHIPPED)) as bundle:
        for info in bundle.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            start = info.header_offset + 30 + len(info.filename) + len(info.extra)
            assert start % 64 == 0, info.filename
    content = shipped[LANDMARKS]
    assert (content.index(b"TFL3", 8) - 4) % 16 == 0


def test_the_metadata_say_how_an_image_goes_in(shipped):
    from mediapipe.tasks.metadata import metadata_schema_py_generated as schema
    from mediapipe.tasks.metadata import schema_py_generated as tflite

    for name, mean, std in ((DETECTOR, 127.5, 127.5), (LANDMARKS, 0.0, 255.0)):
        model = tflite.Model.GetRootAsModel(shipped[name], 0)
        entries = {model.Metadata(i).Name(): model.Metadata(i).Buffer() for i in range(model.MetadataLength())}
        content = model.Buffers(entries[b"TFLITE_METADATA"]).DataAsNumpy().tobytes()
        whole = schema.ModelMetadataT.InitFromObj(schema.ModelMetadata.GetRootAsModelMetadata(content, 0))
        (unit,) = whole.subgraphMetadata[0].inputTensorMetadata[0].processUnits
        assert np.asarray(unit.options.mean).tolist() == [mean] and np.asarray(unit.options.std).tolist() == [std]


def test_sources_that_hold_something_else_are_told_apart(shipped, published, tmp_path):
    def written(name, content):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    other = archive(tmp_path, "pose.tgz", {"package/pose_landmark_lite.tflite": b"", "package/index.js": b""})
    cut = written("cut.tgz", other.read_bytes()[:60])
    cases = {
        tmp_path / "none.tgz": "there is no '.*none.tgz'; `npm pack @mediapipe/pose`",
        written("page.tflite", b"<html>Not found</html>"): "no TFLite model, wheel, zip or tar archive",
        written("empty.whl", b""): r"\(0 bytes\) is no TFLite model",
        cut: "or it is cut off",
        written("half.tflite", published[:4000]): "is damaged",
        written("found.tflite", shipped[DETECTOR]): "the network that finds people",
        verified_model(SHIPPED): "a bundle already: .*task_file",
        other: "no pose_landmark_full.tflite in .* holds lite",
        archive(tmp_path, "code.whl", {"a/b.py": b"x"}): "none of another size",
        tmp_path / "node_modules": "there is no",
    }
    out = tmp_path / "made.task"
    out.write_bytes(b"of before")
    for source, message in cases.items():
        with pytest.raises(ModelFileError, match=message):
            make_bundle("full", source, out)
    with pytest.raises(ModelFileError, match="6.4 MB, so it is full, not heavy; for full run `diffmocap models full"):
        make_bundle("heavy", written("own.tflite", published), out)
    assert out.read_bytes() == b"of before", "an error must not cost the file that is there"


def test_an_archive_is_not_unpacked_beyond_the_size_of_a_network(tmp_path, monkeypatch):
    monkeypatch.setattr("diffmocap.keypoints.pose_bundle.LARGEST", {"lite": 10, "full": 100, "heavy": 1000})
    source = archive(tmp_path, "bomb.whl", {"pose_landmark_full.tflite": bytes(5000)})
    with pytest.raises(ModelFileError, match="too much for a pose network"):
        make_bundle("full", source, tmp_path / "made.task")

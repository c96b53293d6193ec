"""A pose landmarker bundle (.task), made out of the models inside MediaPipe's wheel.

The bundles that Google offers for download hold the same networks with metadata that says how to
normalise the image; adding that metadata gives a real bundle without a download.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import flatbuffers
import mediapipe
import pytest
from mediapipe.tasks.metadata import metadata_schema_py_generated as schema
from mediapipe.tasks.metadata import schema_py_generated as tflite
from mediapipe.tasks.python.metadata import metadata

_MODULES = Path(mediapipe.__file__).parent / "modules"


@pytest.fixture(scope="session")
def bundle(tmp_path_factory) -> Path:
    """Path of a working bundle."""
    path = tmp_path_factory.mktemp("task") / "full.task"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        detector = (_MODULES / "pose_detection/pose_detection.tflite").read_bytes()
        archive.writestr("pose_detector.tflite", _with_normalization(detector, 127.5, 127.5))
        landmarks = (_MODULES / "pose_landmark/pose_landmark_full.tflite").read_bytes()
        archive.writestr("pose_landmarks_detector.tflite", _with_normalization(landmarks, 0.0, 255.0))
    return path


def _with_normalization(model: bytes, mean: float, std: float) -> bytes:
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
    graph.inputTensorMetadata, graph.outputTensorMetadata = [image], []
    for number in range(tflite.Model.GetRootAsModel(model, 0).Subgraphs(0).OutputsLength()):
        output = schema.TensorMetadataT()
        output.name = f"output{number}"
        graph.outputTensorMetadata.append(output)
    whole = schema.ModelMetadataT()
    whole.name, whole.subgraphMetadata = "pose", [graph]
    builder = flatbuffers.Builder(0)
    builder.Finish(whole.Pack(builder), metadata.MetadataPopulator.METADATA_FILE_IDENTIFIER)
    populator = metadata.MetadataPopulator.with_model_buffer(bytearray(model))
    populator.load_metadata_buffer(builder.Output())
    populator.populate()
    return bytes(populator.get_model_buffer())

"""The real protocol: the clip's script finds nothing wrong with the truth; straight limbs, flips, runs on video."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from benchmarks.detector import video_landmarks as detector_records
from benchmarks.detector.video_landmarks import VideoLandmarks, video_landmarks
from benchmarks.protocols import real_clip
from benchmarks.protocols.clip_poses import clip_joints, clip_pipeline
from benchmarks.protocols.footage import STRAIGHT, depth_flips, footage_folder, raised_leg
from benchmarks.protocols.real_clip import KNEES_OF_CLIP, VIEWS, Clip, View, clip_folder, load_scorer, table
from benchmarks.protocols.straight_limbs import ELBOWS, KNEES, angle_deg, image_angle_deg, straight_flexion
from diffmocap.body.skeleton import JOINT_NAMES, KEYPOINT_NAMES, LIMB_JOINTS
from diffmocap.camera.capture import Capture
from diffmocap.evaluation.joint_errors import mpjpe_mm, pa_mpjpe_mm
from diffmocap.keypoints.body25 import PLAIN
from diffmocap.keypoints.mediapipe_detector import Detector
from diffmocap.lifting.lifter import Lifter
from diffmocap.types import CameraIntrinsics, Keypoints2D

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def truth(shared_dir):
    if not (shared_dir / "real" / "truth.npz").is_file():
        pytest.skip("needs the real clip")
    with np.load(shared_dir / "real" / "truth.npz") as data:
        return {key: data[key] for key in data.files}


@pytest.fixture(scope="module")
def clip(truth, shared_dir) -> Clip:
    """The real truth, without detections."""
    camera = CameraIntrinsics.from_fov(1080, 1920, 59.5)
    views = {
        v: View([], truth[f"frames_{v}"], truth[f"joints_{v}"].astype(float), truth[f"mediapipe_{v}"], camera)
        for v in VIEWS
    }
    return Clip(views, load_scorer(shared_dir / "real"), float(truth["fps"]))


@pytest.fixture(scope="module")
def landmarks(excerpt, tmp_path_factory) -> VideoLandmarks:
    """Of the bundled clip's first images."""
    return video_landmarks(excerpt, tmp_path_factory.mktemp("landmarks"))


def keypoints(**places: tuple[float, float]) -> Keypoints2D:
    points, confidence = np.zeros((25, 2), np.float32), np.zeros(25, np.float32)
    for name, place in places.items():
        points[KEYPOINT_NAMES.index(name)], confidence[KEYPOINT_NAMES.index(name)] = place, 1.0
    return Keypoints2D(points, confidence, 640, 480)


def test_the_truth_scores_nothing_wrong_and_smpl_order_is_the_scripts(clip, truth):
    rows = clip.score({v: view.truth for v, view in clip.views.items()})
    for row in rows.values():
        assert row["pa_mpjpe_mm"] < 1e-6 and row["mpjpe_mm"] < 1e-6 and row["exchanged"] == 0 and row["poses"] == 1
        assert row["acceleration"] == row["acceleration_true"] and row["pelvis_m"] == 0
    names = [JOINT_NAMES[j] for j in clip.scorer.SMPL]
    assert names == truth["joints"].tolist()
    for limb, columns in zip(KNEES, KNEES_OF_CLIP, strict=True):
        assert [JOINT_NAMES[j] for j in limb.joints] == [names[c] for c in columns]


def test_alignment_is_that_of_the_clips_own_script(clip):
    """Two implementations of PA-MPJPE: the product's and the script's."""
    rng = np.random.default_rng(0)
    view = clip.views["1"]
    turn = Rotation.from_rotvec(rng.normal(size=3)).as_matrix()
    estimate = 0.9 * (view.truth + 0.08 * rng.normal(size=view.truth.shape)) @ turn
    row = clip.scorer.score(estimate, view.truth, clip.fps)
    assert row["pa_mpjpe_mm"] == pytest.approx(pa_mpjpe_mm(estimate, view.truth), rel=1e-9)
    assert row["mpjpe_mm"] == pytest.approx(mpjpe_mm(estimate, view.truth, (0, 3)), rel=1e-9)
    assert row["lean_deg"] == pytest.approx(np.degrees(Rotation.from_matrix(turn).magnitude()), rel=0.05)


def test_exchanged_sides_and_missed_images_are_counted(clip):
    """MediaPipe's figures are those that the script prints without an argument, as the clip's page says."""
    mediapipe = clip.score({v: view.mediapipe for v, view in clip.views.items()})
    assert mediapipe["mean"]["pa_mpjpe_mm"] == pytest.approx(99.8, abs=0.1) and mediapipe["2"]["exchanged"] == 33
    joints = {v: view.truth.copy() for v, view in clip.views.items()}
    joints["2"][:10] = joints["2"][:10, clip.scorer.MIRROR]
    joints["3"][:50] = np.nan
    rows = clip.score(joints)
    assert rows["2"]["exchanged"] >= 8 and rows["1"]["exchanged"] == 0
    assert rows["3"]["poses"] == pytest.approx(47 / 97) and rows["3"]["pa_mpjpe_mm"] > 250
    assert rows["mean"]["pa_mpjpe_mm"] == pytest.approx(np.mean([rows[v]["pa_mpjpe_mm"] for v in VIEWS]))
    figures = {"lifted": rows, "mediapipe": rows}
    assert "–" in table(figures)[4], "no acceleration of a view with missed images"


def test_missing_folders_are_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"truth\.npz.*--clip FOLDER.*shared/real"):
        clip_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match=rf"{STRAIGHT[0]}.*--media FOLDER"):
        footage_folder(tmp_path)
    monkeypatch.setattr(sys, "argv", ["real_clip", "--clip", str(tmp_path)])
    with pytest.raises(SystemExit, match="no real clip with ground truth"):
        real_clip.main()


def test_limbs_are_those_of_their_names():
    for limbs, parts in ((KNEES, ("hip", "knee", "ankle")), (ELBOWS, ("shoulder", "elbow", "wrist"))):
        for limb, side in zip(limbs, ("right", "left"), strict=True):
            assert [JOINT_NAMES[j] for j in limb.joints] == [f"{side}_{p}" for p in parts]
            assert [KEYPOINT_NAMES[k] for k in limb.keypoints] == [side[0].upper() + p.capitalize() for p in parts]


def test_flexion_is_over_the_limbs_that_are_straight_in_the_image():
    """A straight right knee in the image that is bent by 30 degrees in space, and a left one that is bent in both."""
    seen = [keypoints(RHip=(0, 0), RKnee=(0, 10), RAnkle=(1, 20), LHip=(9, 0), LKnee=(9, 9), LAnkle=(18, 9))] * 3
    seen.append(keypoints(RHip=(0, 0), RKnee=(0, 10)))  # an ankle is missing
    angle = image_angle_deg(seen, KNEES)
    assert angle[0] == pytest.approx([180 - np.degrees(np.arctan(0.1)), 90]) and np.isnan(angle[3]).all()
    bent = np.radians(30)
    right = [[0, 0, 0], [0, 1, 0], [0, 1 + np.cos(bent), np.sin(bent)]]
    left = [[0, 0, 0], [0, 1, 0], [1, 1, 0]]
    lifted = np.tile(np.array([right, left], float), (4, 1, 1, 1))
    lifted[2] = np.nan  # no pose
    straight = np.tile(np.array([[0, 0, 0], [0, 1, 0], [0, 2, 0]], float), (4, 2, 1, 1))
    assert angle_deg(lifted[0]) == pytest.approx([150, 90])
    found = straight_flexion(angle, lifted, straight)
    assert found == {"count": 2, "lifted_deg": pytest.approx(30), "true_deg": pytest.approx(0, abs=1e-4),
                     "error_deg": pytest.approx(30)}  # fmt: skip
    assert straight_flexion(angle[3:], lifted[3:]) == {"count": 0, "lifted_deg": None}


def test_flips_are_sure_changes_of_side():
    assert depth_flips(np.array([0.3, 0.05, -0.05, 0.2, 0.3])) == 0, "never surely on the other side"
    assert depth_flips(np.array([0.3, 0.05, -0.2, -0.3, np.nan, 0.2])) == 2
    assert depth_flips(np.array([0.3, -0.3, 0.3, -0.3])) == 3 and depth_flips(np.full(4, np.nan)) == 0
    up, down = (0.0, 100.0), (0.0, 300.0)
    assert raised_leg([keypoints(RAnkle=up, LAnkle=down)] * 2 + [keypoints(RAnkle=down, LAnkle=up)]) == 0
    assert raised_leg([keypoints(RAnkle=down, LAnkle=up)] * 2 + [keypoints(RAnkle=up)]) == 1


def test_landmarks_of_a_video_are_the_detectors_and_are_kept(excerpt, tmp_path, monkeypatch):
    found = video_landmarks(excerpt, tmp_path)
    with Capture(str(excerpt), realtime=False, clock=lambda: 0) as capture, Detector() as detector:
        expected = [detector.detect(frame) for frame in capture]
    assert len(found) == len(expected) and found.size.tolist() == [640, 480]
    for a, b in zip(found.keypoints(), expected, strict=True):
        np.testing.assert_array_equal(a.points_px, b.points_px)
        np.testing.assert_array_equal(a.confidence, b.confidence)
        np.testing.assert_array_equal(a.depth_m, b.depth_m)
        assert a.stamp_ns == b.stamp_ns
    monkeypatch.setattr(detector_records, "_detect", lambda *_: pytest.fail("detected again"))
    again = video_landmarks(excerpt, tmp_path)
    np.testing.assert_array_equal(again.landmarks_px, found.landmarks_px)
    monkeypatch.setattr(detector_records, "RECORD", -1)
    with pytest.raises(pytest.fail.Exception, match="detected again"):
        video_landmarks(excerpt, tmp_path)


def test_nobody_found_gives_no_pose_and_no_nan_keypoints(landmarks):
    blind = replace(landmarks, landmarks_px=landmarks.landmarks_px.copy())
    blind.landmarks_px[3] = np.nan
    given = blind.keypoints()
    assert given[3].visible == 0 < given[2].visible
    pipeline = clip_pipeline(Lifter.load(), refined=False)
    joints = clip_joints(pipeline, given, CameraIntrinsics.from_fov(640, 480))
    assert np.isnan(joints[3]).all() and np.isfinite(np.delete(joints, 3, axis=0)).all()


def test_bundled_clip_is_lifted_near_its_truth(landmarks, repo_root):
    """A whole run on video, whose truth is known: rows of the images in their order, in the optical frame."""
    with np.load(repo_root / "media" / "demo.npz") as data:
        joints, K = data["joints"][: len(landmarks)], data["K"]
    camera = CameraIntrinsics(640, 480, K[0, 0], K[1, 1], K[0, 2], K[1, 2])
    found = clip_joints(clip_pipeline(Lifter.load(), refined=False), landmarks.keypoints(), camera)
    limbs = list(LIMB_JOINTS)
    assert pa_mpjpe_mm(found[:, limbs], joints[:, limbs]) < 70
    assert np.linalg.norm(found[:, 0] - joints[:, 0], axis=-1).mean() < 0.3


def test_command_on_the_real_clip_ends_with_the_figures(truth, shared_dir, tmp_path, monkeypatch, capsys):
    """By landmarks that stand in for detections: the true keypoints as MediaPipe's landmarks of the same names."""

    def true_landmarks(video, cache):
        v = video.stem[-1]
        points = truth[f"keypoints25_{v}"].astype(float)
        last = int(truth[f"frames_{v}"].max()) + 1
        px = np.full((last, 33, 2), np.nan, np.float32)
        pixels = points @ truth[f"K_{v}"].T
        pixels = pixels[..., :2] / pixels[..., 2:]
        source = PLAIN.argmax(0)  # the keypoint of each landmark, or the nose where there is none
        px[truth[f"frames_{v}"]] = pixels[:, source]
        world = np.zeros((last, 33, 3), np.float32)
        world[truth[f"frames_{v}"]] = (points - points[:, [8]])[:, source]
        stamps = np.round(np.arange(last) / 60.0 * 1e9).astype(np.int64)
        return detector_records.VideoLandmarks(
            px, np.ones((last, 33), np.float32), world, stamps, np.array([1080, 1920])
        )

    monkeypatch.setattr(real_clip, "video_landmarks", true_landmarks)
    monkeypatch.setattr(real_clip, "VIEWS", ("1", "4"))
    monkeypatch.setattr(
        sys, "argv", ["real_clip", "--lifting-only", "--no-footage", "--json", "--joints", str(tmp_path / "j.npz")]
    )
    real_clip.main()
    out = capsys.readouterr().out.strip().splitlines()
    figures = json.loads(out[-1])
    assert set(figures["lifted"]) == {"1", "4", "mean"} and set(figures["straight_knees"]) == {"1", "4"}
    assert figures["lifted"]["mean"]["poses"] == 1 and figures["lifted"]["mean"]["pa_mpjpe_mm"] < 90
    assert figures["lifted"]["mean"]["pelvis_m"] < 0.5 < figures["mediapipe"]["mean"]["pelvis_m"]
    with np.load(tmp_path / "j.npz") as kept:
        assert kept["joints_1"].shape == (97, 24, 3)
    assert any(line.startswith("| mean |") for line in out)

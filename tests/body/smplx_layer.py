"""The reference implementation of SMPL over a body's own arrays."""

from __future__ import annotations

import numpy as np
import smplx
from smplx.utils import Struct

from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import NUM_JOINTS, PARENTS


def smplx_layer(body: BodyModel, batch_size: int = 1):
    """smplx's own SMPL layer over the same arrays; its ``transl`` is the pelvis minus the rest pelvis.

    ``posedirs`` are zeros where the body has none.
    """
    d = body.data
    posedirs = np.zeros((len(d.v_template), 3, 207), np.float32) if d.posedirs is None else d.posedirs
    struct = Struct(
        v_template=d.v_template, shapedirs=d.shapedirs, posedirs=posedirs, J_regressor=d.regressor,
        weights=d.weights, f=d.faces, kintree_table=np.array([PARENTS, range(NUM_JOINTS)]),
    )  # fmt: skip
    # smplx also wants ids for fingertips; the body's file need not name them.
    names = ("nose", "reye", "leye", "rear", "lear", "LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel")
    tips = [f"{side}{f}" for side in "lr" for f in ("thumb", "index", "middle", "ring", "pinky")]
    ids = {n: d.vertex_ids[n] for n in names} | {t: d.vertex_ids.get(t, 0) for t in tips}
    return smplx.SMPL("", data_struct=struct, vertex_ids=ids, batch_size=batch_size)

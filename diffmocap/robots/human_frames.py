"""A kept motion as the frames that a robot follows: world upright, floor at z = 0, soles that rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from diffmocap.body.feet import contact_frames, ground_height, sole_points, sole_positions
from diffmocap.body.model import BodyModel
from diffmocap.motion.export.prepare import prepared
from diffmocap.motion.motion import Motion
from diffmocap.physics.contact_points import ContactPoints
from diffmocap.robots.frames import HumanFrame, resting_soles


def human_frames(motion: Motion, body: BodyModel, fps: float) -> list[HumanFrame]:
    """A motion's frames at an even rate.

    A motion with contacts is taken to stand on its own floor. Of one without, the floor is where its feet rest, and a
    sole rests where it is low and slow.

    Args:
        motion: in any frame; one in the camera's is put upright as by a level camera.
        body: the body model that its betas belong to.
        fps: frames a second of the result.
    """
    upright = prepared(motion, body, fps)
    known = upright.contacts is not None and bool(upright.contacts.any())
    if known:
        names = np.array(ContactPoints.from_body(body, upright.betas[None]).names)
        contacts = np.array([resting_soles(names[touching]) for touching in upright.contacts.numpy()])
    else:
        clip, soles = upright.clip(body), sole_points(body, upright.betas[None])
        floor = torch.tensor([0.0, ground_height(clip, soles), 0.0])
        contacts = contact_frames(sole_positions(clip, soles), clip.fps).numpy()
        upright = replace(upright, pelvis=upright.pelvis - floor)
    world = upright.in_frame("world")
    turned, placed = body.forward_kinematics(world.rotations, world.pelvis, world.betas[None])
    rotations, positions = turned.double().numpy(), placed.double().numpy()
    height = standing_height(body, motion.betas)
    stamps = np.round(np.arange(len(world)) * (1e9 / world.fps)).astype(np.int64)
    return [HumanFrame(positions[i], rotations[i], contacts[i], height, int(stamps[i])) for i in range(len(world))]


def standing_height(body: BodyModel, betas: torch.Tensor) -> float:
    """Height [m] of a body standing straight, of a shape [10]."""
    vertices = body.template + torch.einsum("vck,k->vc", body.shape_dirs, betas.to(body.template))
    return float(vertices[:, 1].max() - vertices[:, 1].min())

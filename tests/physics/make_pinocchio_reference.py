"""Writes pinocchio_reference.npz: inverse dynamics of the shipped URDF by another hand.

Pinocchio and what it brings are not worth installing for one test, so the values are kept beside it. To make them
again, from the repository's root, first here and then in an environment with pin==4.1.0:

    python tests/physics/make_pinocchio_reference.py states cmu_smpl30_val.npz states.npz
    python tests/physics/make_pinocchio_reference.py torques states.npz

States are in the URDF's terms: the pelvis in a z-up world, 69 angles in the order of the URDF's joints. Random states
reach over half of the joints' ranges; mocap states take angles and rates from three frames in a row of a take each.
"""

import re
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
RANDOM = 24


def write_states(motions: str, target: str) -> None:
    from diffmocap.body.joint_angles import angle_trajectory
    from diffmocap.body.mocap import load_clips

    windows = [clip.rotations[len(clip) // 2 - 1 : len(clip) // 2 + 2].double() for clip in load_clips(motions)[::2]]
    np.savez(target, angles=np.stack([angle_trajectory(w).numpy() for w in windows]))  # [F, 3, 69]


def write_torques(states: str) -> None:
    import pinocchio as pin

    text = (ROOT / "models/human.urdf").read_text()
    text = re.sub(r"<mesh[^>]*>", '<box size="0.1 0.1 0.1" />', text)
    # The links between the axes of a joint weigh a gram each for engines that want it; physically they are not there.
    text = text.replace('mass value="0.001"', 'mass value="0"').replace('"1e-06"', '"0"')
    model = pin.buildModelFromXML(text, pin.JointModelFreeFlyer())
    data = model.createData()
    names = re.findall(r'<joint name="([^"]+)" type="revolute"', text)
    place = np.array([model.idx_vs[model.getJointId(name)] - 6 for name in names])
    rng, dt = np.random.default_rng(0), 1 / 30

    low, high = model.lowerPositionLimit[7:][place], model.upperPositionLimit[7:][place]
    before, middle, after = np.load(states)["angles"].transpose(1, 0, 2)
    angles = np.concatenate([0.5 * rng.uniform(low, high, (RANDOM, 69)), middle])
    rates = np.concatenate([rng.normal(0, 2, (RANDOM, 69)), (after - before) / (2 * dt)])
    accelerations = np.concatenate([rng.normal(0, 15, (RANDOM, 69)), (after - 2 * middle + before) / dt**2])
    count = len(angles)
    quaternion = rng.normal(size=(count, 4))
    quaternion /= np.linalg.norm(quaternion, axis=1, keepdims=True)
    position, velocity, acceleration = (rng.normal(0, s, (count, 3)) for s in (1.0, 1.0, 5.0))
    omega, alpha = rng.normal(0, 1.5, (count, 3)), rng.normal(0, 8, (count, 3))  # in the world's axes

    def ordered(x: np.ndarray) -> np.ndarray:
        out = np.empty(69)
        out[place] = x
        return out

    torques, wrenches = [], []
    for i in range(count):
        r = pin.Quaternion(quaternion[i]).matrix()
        q = np.concatenate([position[i], quaternion[i], ordered(angles[i])])
        # A free flyer's rates are those of its own axes, so their derivative lacks omega x v.
        turning = acceleration[i] - np.cross(omega[i], velocity[i])
        v = np.concatenate([r.T @ velocity[i], r.T @ omega[i], ordered(rates[i])])
        a = np.concatenate([r.T @ turning, r.T @ alpha[i], ordered(accelerations[i])])
        tau = pin.rnea(model, data, q, v, a)
        torques.append(tau[6:][place])
        wrenches.append(np.concatenate([r @ tau[:3], r @ tau[3:6]]))
    np.savez_compressed(
        Path(__file__).with_name("pinocchio_reference.npz"),
        version=pin.__version__, names=names, gravity=model.gravity.linear, position=position, velocity=velocity,
        acceleration=acceleration, quaternion_xyzw=quaternion, omega=omega, alpha=alpha, angles=angles, rates=rates,
        accelerations=accelerations, torques=np.stack(torques), pelvis_wrench=np.stack(wrenches),
    )  # fmt: skip
    print(f"pinocchio {pin.__version__}: {count} states")


if __name__ == "__main__":
    {"states": write_states, "torques": write_torques}[sys.argv[1]](*sys.argv[2:])

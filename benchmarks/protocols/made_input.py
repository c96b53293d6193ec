"""How near is the lifting on poses beyond motion capture: ``python -m benchmarks.made_input --weights W``.

The committed poses of :mod:`benchmarks.lifting.made_poses` with exact keypoints, one at a time with the default
settings; they belong to no split. ``--json`` ends with one JSON line.
"""

from __future__ import annotations

import torch

from benchmarks.lifting.parts import made_part
from benchmarks.lifting.protocol_sections import made_table
from benchmarks.page.command import benchmark_parser, end_with_json, shared_options
from diffmocap.lifting.lifter import Lifter


def main() -> None:
    """Command line."""
    parser = benchmark_parser(__doc__)
    shared_options(parser, "weights", "json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    figures = made_part(Lifter.load(args.weights))
    print("\n".join(made_table(figures)))
    end_with_json(args, figures)


if __name__ == "__main__":
    main()

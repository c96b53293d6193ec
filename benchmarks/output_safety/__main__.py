"""Is what is published safe when the input is bad, and right when it is good? ``python -m benchmarks.output_safety``.

Keypoints with stamps go through the pose pipeline with its default parameters, once in each of its profiles and without
a time limit on the refinement: shared videos, clips with truth, and streams that are bad on purpose (exchanged sides,
people that switch, cuts, dropouts, outliers, teleports, stamps that jitter, furniture, garbage, absurd calibrations).
Judged is what comes out, by what a listener sees; ``benchmarks/output_safety/figures.py`` defines the figures.

Two rows stand beside it: ``lifted alone``, every image's pose by itself without track, gate, physics or limits, and
``frozen``, the first pose for ever, which is as safe as can be. A *right* pose is one of an image that nothing was done
to, whose pose lifted alone is within 150 mm of the truth; it is *withheld* where nothing TRACKED or TENTATIVE was
published of that image. Who is in view in the indoor video was labelled by hand (``intel_persons.csv``): a person is
withheld likewise where a pose could be lifted at all, and a *false person* is a pose published as TRACKED of an image
in which nobody is.

Videos lie in ``shared/media`` and ``shared/real`` beside the checkout (``--media``, ``--clip``), motion capture as in
``benchmarks/README.md``. Detections are kept in ``.cache/landmarks``, what was measured of a commit in
``.cache/output_safety``, so that a run that was stopped goes on. Writes a dated page (not with ``--only``); ``--json``
ends with one JSON line of ``animation`` and ``robot`` (the same figures where the pipeline has no profiles), ``rows``
and ``streams``.
``--errors FILE`` keeps the errors of each image, ``--against FILE`` pairs with those of another state.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from benchmarks.output_safety import figures as figures_module
from benchmarks.output_safety.catalogue import all_streams
from benchmarks.output_safety.limits import UrdfLimits
from benchmarks.output_safety.page import page, stream_table
from benchmarks.output_safety.profiles import PROFILES
from benchmarks.output_safety.runs import ALONE, FROZEN, measure
from benchmarks.output_safety.summary import all_errors, paired, stream_figures, summary
from benchmarks.page.command import benchmark_parser, clips_option, end_with_json, name_option, shared_options
from benchmarks.page.report import REPOSITORY, Page, mocap_file, page_arguments, provenance
from benchmarks.protocols.footage import footage_folder
from benchmarks.protocols.real_clip import CACHE as LANDMARKS
from benchmarks.protocols.real_clip import clip_folder

CACHE = REPOSITORY / ".cache" / "output_safety"


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = benchmark_parser(__doc__)
    clips_option(parser, "val")
    parser.add_argument("--media", metavar="FOLDER", help="of the videos without truth (default: see above)")
    parser.add_argument("--clip", metavar="FOLDER", help="of the real clip (default: see above)")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="TEXT", help="streams whose name has one of these in it"
    )
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of what was measured (default: %(default)s)")
    parser.add_argument("--errors", type=Path, metavar="FILE", help="npz to write the errors of each image to")
    parser.add_argument("--against", type=Path, metavar="FILE", help="npz of the errors of another state, to pair with")
    name_option(parser, "output-safety")
    parser.add_argument("--note", default="", help="what the page says of the circumstances of the run")
    shared_options(parser, "json", "no_page", "out")
    args = page_arguments(parser, arguments, writes=lambda a: not a.only)
    torch.set_num_threads(1)
    try:
        media, clip = footage_folder(args.media), clip_folder(args.clip)
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None
    streams = all_streams(media, clip, mocap_file("val", args.data), LANDMARKS)
    if args.only:
        streams = [s for s in streams if any(text in s.name for text in args.only)]
        if not streams:
            raise SystemExit(f"no stream has one of {', '.join(args.only)} in its name")
    published = measure(streams, args.cache)
    limits = UrdfLimits.load()
    by_stream = {n: stream_figures(streams, x, published[ALONE], limits) for n, x in published.items()}
    if args.only:  # no page and no summary: both are of all streams
        for name, figures in by_stream.items():
            print("\n".join([name, *stream_table(figures), ""]))
        end_with_json(args, {"streams": by_stream})
        return
    rows = {name: summary(streams, figures) for name, figures in by_stream.items()}
    errors = {name: all_errors(streams, x) for name, x in published.items()}
    if args.errors:
        whose = next(n for n in published if n not in (ALONE, FROZEN))
        np.savez_compressed(args.errors, **errors[whose])
    if args.against:
        with np.load(args.against, allow_pickle=False) as before:
            for name in rows:
                rows[name] |= paired(errors[name], dict(before))
    data = f"{len(streams)} streams of {sum(map(len, streams))} images, see below; motions of the validation split"
    head = provenance("benchmarks.output_safety", data)
    lines = page(head, streams, rows, by_stream, figures_module.__doc__, args.note)
    print("\n".join(lines) if args.no_page else Page.of_today(args.name, args.out).write(lines))
    profiles = {p: rows.get(p, rows.get("published")) for p in PROFILES}
    end_with_json(args, {**profiles, "rows": rows, "streams": by_stream})


if __name__ == "__main__":
    main()

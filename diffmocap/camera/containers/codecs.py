"""Names of video codecs, to say which one cannot be decoded."""

from __future__ import annotations

#: Lower-case beginnings of four-character codes and of Matroska's codec ids -> the codec's name.
_NAMES = {
    "av01": "AV1", "v_av1": "AV1",
    "avc": "H.264", "h264": "H.264", "v_mpeg4/iso/avc": "H.264",
    "hvc1": "HEVC (H.265)", "hev1": "HEVC (H.265)", "hevc": "HEVC (H.265)", "v_mpegh": "HEVC (H.265)",
    "dvh": "Dolby Vision (HEVC)", "dva": "Dolby Vision",
    "vvc": "VVC (H.266)", "vvi": "VVC (H.266)",
    "vp8": "VP8", "v_vp8": "VP8", "vp09": "VP9", "vp9": "VP9", "v_vp9": "VP9",
    "mp4v": "MPEG-4", "fmp4": "MPEG-4", "xvid": "MPEG-4", "divx": "MPEG-4", "v_mpeg4": "MPEG-4",
    "mjpg": "Motion JPEG", "jpeg": "Motion JPEG", "mjp": "Motion JPEG", "v_mjpeg": "Motion JPEG",
    "apc": "Apple ProRes", "apr": "Apple ProRes RAW", "ap4": "Apple ProRes", "v_prores": "Apple ProRes",
    "cfhd": "GoPro CineForm", "craw": "Canon RAW", "brax": "Blackmagic RAW", "encv": "encrypted video",
    "avdn": "Avid DNxHD", "avdh": "Avid DNxHR", "v_theora": "Theora", "ffv1": "FFV1", "v_ffv1": "FFV1",
}  # fmt: skip
#: What every FFmpeg decodes: a file of these without a single image is damaged.
_DECODED_EVERYWHERE = {"H.264", "HEVC (H.265)", "VP8", "VP9", "MPEG-4", "Motion JPEG", "Theora", "FFV1"}


def why_not_decoded(codec: str, fourcc: int = 0) -> str:
    """In words that follow the file's name, where its codec may be why there is no image; empty where it is not.

    Args:
        codec: as the container names it; empty where unknown.
        fourcc: OpenCV's code for it, 0 where unknown.
    """
    code = codec or (fourcc & 0xFFFFFFFF).to_bytes(4, "little").decode("latin-1").strip("\x00 ")
    if not code or not code.isprintable():
        return ""
    matches = [name for begin, name in _NAMES.items() if code.lower().startswith(begin)]
    name = matches[-1] if matches else ""
    if name in _DECODED_EVERYWHERE:
        return (
            f"holds {name} video ({code}), of which no image can be decoded: the file is damaged. Check it with "
            "ffprobe, or copy it again"
        )
    if name == "encrypted video":
        return f"holds encrypted video ({code}), which nobody but its player can decode"
    what = f"{name} video ({code})" if name else f"video of the codec '{code}'"
    return (
        f"holds {what}, which this OpenCV cannot decode; convert it: "
        "ffmpeg -i INPUT -c:v libx264 -pix_fmt yuv420p OUTPUT.mp4"
    )

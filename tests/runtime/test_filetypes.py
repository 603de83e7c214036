"""What a file is, its content says; its name counts for nothing."""

import io
import shutil
import struct
import subprocess
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetl_runtime.errors import FrameError
from edgetl_runtime.image.decoding import decode_picture
from edgetl_runtime.image.filetypes import identify, judge, judge_data

PICTURE = np.full((48, 64, 3), 90, np.uint8)
FORMATS = {
    **{"mp4": (), "3gp": ("-c:v", "mpeg4"), "mkv": (), "webm": ("-c:v", "libvpx"), "ts": ()},
    **{"mts": ("-f", "mpegts", "-mpegts_m2ts_mode", "1"), "wmv": (), "avi": (), "flv": ()},
    **{"h264": ("-bsf:v", "h264_mp4toannexb"), "mpg": (), "m1v": (), "mjpeg": (), "y4m": ()},
    **{"hevc": ("-c:v", "libx265", "-x265-params", "log-level=none"), "mov": (), "ogv": ()},
    **{"264": ("-f", "h264"), "m4v": (), "ivf": ("-c:v", "libvpx"), "mxf": ("-r", "25")},
}


def box(major, *others):
    brands = b"".join(others)
    return struct.pack(">I4s4sI", 16 + len(brands), b"ftyp", major, 0) + brands + bytes(40)


def encode(suffix, picture=PICTURE):
    return cv2.imencode(suffix, picture)[1].tobytes()


def gif(pictures):
    """A GIF of 1x1 px pictures, with a colour table, an extension and a comment."""
    one = b"!\xf9\x04\0\x0a\0\0\0,\0\0\0\0\1\0\1\0\0\x02\x02D\x01\0"
    return b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff" + b"!\xfe\x02hi\0" + one * pictures + b";"


def animated_png(frames):
    data = encode(".png")
    body = b"acTL" + struct.pack(">2I", frames, 0)
    chunk = struct.pack(">I", 8) + body + struct.pack(">I", zlib.crc32(body))
    return data[:33] + chunk + data[33:]


def tiff(*tags, following=0):
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)
    return b"II*\0" + struct.pack("<I", 8) + directory


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff", ".ppm"])
def test_a_picture_is_one_by_its_content(suffix, tmp_path):
    path = tmp_path / "holiday"
    path.write_bytes(encode(suffix))
    known = identify(path)
    assert (known.kind, known.several) == ("picture", False)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_video_is_one_by_its_content(suffix, tmp_path, make_video):
    command = ["ffmpeg", "-v", "error", "-i", make_video(6), *FORMATS[suffix]]
    done = subprocess.run([*command, tmp_path / f"a.{suffix}"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"this ffmpeg writes no {suffix}")
    path = (tmp_path / f"a.{suffix}").rename(tmp_path / "a.jpg")
    assert identify(path).kind == "video"


@pytest.mark.parametrize(
    ("data", "kind", "name"),
    [
        (box(b"heic", b"mif1", b"heic"), "other", "a HEIC image"),
        (box(b"mif1", b"mif1", b"heic"), "other", "a HEIC image"),
        (box(b"avif", b"mif1", b"avif"), "picture", "an AVIF image"),
        (box(b"mif1", b"mif1", b"avif"), "picture", "an AVIF image"),
        (box(b"isom", b"avc1"), "video", "an MP4"),
        (box(b"3gp4"), "video", "an MP4"),
        (box(b"qt  "), "video", "an MP4"),
        (box(b"M4A "), "other", "a sound file"),
        (box(b"crx "), "other", "a camera's raw image"),
        (b"\0\0\0\x08wide\0\0\1\0mdat", "video", "an MP4"),
        (tiff((256, 64), (50706, 1)), "other", "a camera's raw image"),
        (tiff((254, 1), (256, 160)), "other", "a camera's raw image"),
        (b"\xff\x0a" + bytes(20), "other", "a JPEG XL image"),
        (b"8BPS" + bytes(20), "other", "a Photoshop file"),
        (b"%PDF-1.7", "other", "a PDF document"),
        (b"PK\3\4" + bytes(9), "other", "a ZIP archive"),
        (b"\n<!DOCTYPE html><title>404</title>", "other", "a web page"),
        (b"\xef\xbb\xbf<!DOCTYPE html><title>404</title>", "other", "a web page"),
        (b"\xef\xbb\xbf#EXTM3U\n", "other", "a playlist"),
        (b'<?xml version="1.0"?><svg xmlns="x"/>', "other", "an SVG drawing"),
        (b"#EXTM3U\nhttp://a/b.ts", "other", "a playlist"),
        (b"version https://git-lfs.github.com/spec/v1\noid ", "other", "a Git LFS pointer"),
        (b"BMW and P5 are names\n", "other", "a text file"),
        ("Größe, 螺丝\n".encode() * 900, "other", "a text file"),
        (b"--frame\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8", "video", "a recorded Motion"),
        (b"", "other", "an empty file"),
        (bytes(5000), "unknown", "a file of an unknown type"),
        (bytes(range(128, 256)) * 9, "unknown", "a file of an unknown type"),
        (b"\0\0\1\0\1\0\x10\x10", "other", "an icon"),
    ],
)
def test_a_file_is_named_as_what_it_is(data, kind, name):
    known = judge_data(data)
    assert known.kind == kind
    assert known.name.startswith(name)


def test_heic_is_named_with_what_converts_it(wording):
    with pytest.raises(FrameError, match=wording):
        decode_picture(box(b"heic", b"mif1"))


@pytest.mark.parametrize(
    ("one", "several"),
    [
        (gif(1), gif(2)),
        (animated_png(1), animated_png(2)),
        (encode(".webp"), b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\x02" + bytes(40)),
        (tiff((256, 64)), tiff((256, 64), following=26)),
        (box(b"avif", b"mif1"), box(b"avis", b"avif")),
    ],
    ids=["gif", "png", "webp", "tiff", "avif"],
)
def test_an_animation_is_told_from_a_picture(one, several):
    assert (judge_data(one).kind, judge_data(one).several) == ("picture", False)
    assert (judge_data(several).kind, judge_data(several).several) == ("picture", True)


def with_exif(jpeg):
    return jpeg[:2] + b"\xff\xe1\0\x0aExif\0\0\0\0" + jpeg[2:]


def test_jpegs_one_after_another_are_a_video_and_a_photo_with_a_preview_is_not():
    jpeg, preview = encode(".jpg"), encode(".jpg", PICTURE[::2, ::2])
    assert judge_data(jpeg).kind == "picture"
    assert judge_data(jpeg + jpeg).kind == "video"
    assert judge_data(jpeg + bytes(9) + jpeg).kind == "video"
    assert judge_data(jpeg + preview).kind == "picture"
    assert judge_data(with_exif(jpeg) + jpeg).kind == "picture"
    assert judge_data(jpeg + b"something a phone added").kind == "picture"


SEEDS = [encode(".jpg") * 2, gif(3), animated_png(2), tiff((254, 1), following=9), box(b"heic")]


@given(st.sampled_from(SEEDS), st.integers(0, 400), st.binary(max_size=40), st.integers(0, 60_000))
def test_any_bytes_are_judged_without_a_fault(seed, at, piece, end):
    data = (seed[:at] + piece + seed[at + len(piece) :])[:end]
    assert judge(io.BytesIO(data)).kind in ("picture", "video", "other", "unknown")

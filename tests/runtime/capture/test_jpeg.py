"""The decoder of camera JPEGs: what it refuses, what it shrinks, and how streams are cut."""

import importlib.util
import os
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetl_runtime.capture.jpeg import (
    MAX_BYTES,
    JpegDecoder,
    JpegSplitter,
    check_jpeg,
    choose_divisor,
)
from edgetl_runtime.capture.source import BadFrame
from edgetl_runtime.image.jpegs import find_companions
from edgetl_runtime.image.preprocessing import Preprocessing

FRAMES = int(os.environ.get("EDGETL_FUZZ", "200"))
REASONS = {"empty", "no JPEG", "of an unusual kind", "truncated", "damaged", "too large"}


def photo(height=480, width=640, seed=3):
    """Smooth shapes with some sensor noise, as a camera sees them."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (6, 8, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = generator.normal(0, 4, smooth.shape)
    return np.uint8(np.clip(smooth + noise, 0, 255))


def encode(picture, quality=90):
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


JPEG = encode(photo(120, 160))


def decode(data, input_px=None, strict=None):
    decoder = JpegDecoder(input_px)
    if strict is not None:
        decoder._strict = strict
    room = {}

    def buffer(height, width):
        room["size"], room["pixels"] = (height, width), bytearray(3 * height * width)
        return memoryview(room["pixels"])

    decoder.decode(data, buffer)
    return np.frombuffer(room["pixels"], np.uint8).reshape(*room["size"], 3)


def outcome(data):
    try:
        decode(data)
    except BadFrame as bad:
        return bad.reason
    return "picture"


@pytest.fixture(params=[True, False], ids=["simplejpeg", "OpenCV"])
def strict(request):
    if request.param and importlib.util.find_spec("simplejpeg") is None:
        pytest.skip("the extra `jpeg` is not installed")
    return request.param


def test_both_decoders_see_the_same_picture(strict):
    expected = cv2.imdecode(np.frombuffer(JPEG, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(np.int16(decode(JPEG, strict=strict)) - expected).max() <= 4


def test_a_grey_jpeg_becomes_three_channels(strict):
    grey = encode(photo(48, 64)[:, :, 0])
    picture = decode(grey, strict=strict)
    assert picture.shape == (48, 64, 3)
    assert (picture[:, :, 0] == picture[:, :, 2]).all()


def test_size_is_read_from_the_header():
    assert check_jpeg(encode(photo(33, 77)))[:2] == (77, 33)


def test_padding_after_the_end_is_no_fault(strict):
    assert decode(JPEG + bytes(700), strict=strict).shape == (120, 160, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<html></html>", "no JPEG"),
        (b"\x89PNG\r\n\x1a\n", "no JPEG"),
        (b"\xff\xd8", "truncated"),
        (JPEG[:-2], "truncated"),
        (JPEG[:100], "truncated"),
        (JPEG[:2] + bytes(len(JPEG) - 4) + JPEG[-2:], "damaged"),
        (JPEG + bytes(MAX_BYTES), "too large"),
    ],
)
def test_what_is_no_whole_jpeg_is_named(data, reason):
    with pytest.raises(BadFrame) as caught:
        check_jpeg(data)
    assert caught.value.reason == reason


def test_a_bomb_is_refused_before_it_is_decoded(wording):
    at = JPEG.index(b"\xff\xc0") + 5
    with pytest.raises(BadFrame, match=wording):
        decode(JPEG[:at] + b"\xff\xff\xff\xff" + JPEG[at + 4 :])


def is_taken(data, **options):
    try:
        decode(data, **options)
    except BadFrame:
        return False
    return True


def test_simplejpeg_refuses_lost_bytes_that_opencv_lets_pass():
    pytest.importorskip("simplejpeg")
    cut = [JPEG[:at] + JPEG[at + 200 :] for at in range(700, len(JPEG) - 300, 100)]
    assert sum(is_taken(data, strict=False) for data in cut) >= 0.9 * len(cut)
    assert sum(is_taken(data, strict=True) for data in cut) <= 0.1 * len(cut)


def with_restarts(picture):
    options = [cv2.IMWRITE_JPEG_RST_INTERVAL, 5]
    return cv2.imencode(".jpg", picture, options)[1].tobytes()


def put_in(extra, before, jpeg=JPEG):
    at = jpeg.rindex(before)
    return jpeg[:at] + extra + jpeg[at:]


THUMBNAIL = encode(photo(16, 16))
EXIF = b"\xff\xe1" + (len(THUMBNAIL) + 2).to_bytes(2, "big") + THUMBNAIL
RESTARTED = with_restarts(photo(120, 160))
ODD = {
    "at the end": put_in(b"\x12\x34\x56\x00\x00\x78\x9a\xbc", b"\xff\xd9"),
    "a kilobyte at the end": put_in(bytes(range(200)) * 6, b"\xff\xd9"),
    "before tables": put_in(b"\x01\x02\x03", b"\xff\xdb"),
    "after the start": JPEG[:2] + b"\x00\x01" + JPEG[2:],
    "before a thumbnail": JPEG[:2] + b"\x00" + EXIF + JPEG[2:],
    "before a restart": put_in(bytes(range(12)), b"\xff\xd3", RESTARTED),
    "before restarts and at the end": put_in(
        b"\x01\x02\x03\x04", b"\xff\xd9", put_in(b"\x01\x02", b"\xff\xd3", RESTARTED)
    ),
    "JFIF 0.00": JPEG[:11] + b"\0\0" + JPEG[13:],
    "JFIF 0.00 and at the end": put_in(b"abcdefgh", b"\xff\xd9", JPEG[:11] + b"\0\0" + JPEG[13:]),
}


@pytest.mark.parametrize("case", ODD)
def test_bytes_too_many_cost_nothing(case, strict):
    plain = RESTARTED if "restart" in case else JPEG
    assert (decode(ODD[case], strict=strict) == decode(plain, strict=strict)).all()


@pytest.mark.parametrize("case", ODD)
def test_bytes_too_many_are_counted_by_simplejpeg(case):
    pytest.importorskip("simplejpeg")
    room = {}

    def buffer(height, width):
        return memoryview(room.setdefault("pixels", bytearray(3 * height * width)))

    decoder = JpegDecoder()
    assert decoder.decode(JPEG, buffer) == ""
    assert decoder.decode(ODD[case], buffer) == "extra bytes"


@pytest.mark.parametrize("case", [name for name in ODD if "end" not in name])
def test_bytes_too_many_hide_none_that_are_missing(case, wording):
    pytest.importorskip("simplejpeg")
    cut = ODD[case][: -len(JPEG) // 3] + b"\xff\xd9"
    with pytest.raises(BadFrame, match=wording):
        decode(cut, strict=True)


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.9])
def test_half_a_jpeg_is_no_picture_whatever_thumbnail_it_holds(kept, strict, wording):
    with_thumbnail = JPEG[:2] + EXIF + JPEG[2:]
    assert decode(with_thumbnail, strict=strict).shape == (120, 160, 3)
    with pytest.raises(BadFrame, match=wording):
        decode(with_thumbnail[: int(kept * len(with_thumbnail))], strict=strict)


def test_what_follows_a_jpeg_does_not_end_it_again(strict, wording):
    assert decode(JPEG + THUMBNAIL, strict=strict).shape == (120, 160, 3)
    with pytest.raises(BadFrame, match=wording):
        decode(JPEG[:-400] + THUMBNAIL, strict=strict)


def test_a_progressive_jpeg_is_followed_through_its_scans(strict, wording):
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    jpeg = cv2.imencode(".jpg", photo(120, 160), options)[1].tobytes()
    assert decode(jpeg, strict=strict).shape == (120, 160, 3)
    with pytest.raises(BadFrame, match=wording):
        decode(jpeg[: len(jpeg) // 2], strict=strict)


@settings(max_examples=FRAMES, deadline=None)
@given(st.data())
def test_any_change_gives_a_picture_or_a_reason(data):
    mutated = bytearray(JPEG)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(mutated) - 1))
        match data.draw(st.sampled_from("fcz")):
            case "f":
                mutated[at] = data.draw(st.integers(0, 255))
            case "c":
                del mutated[at : at + data.draw(st.integers(1, 300))]
            case "z":
                mutated[at : at + 20] = bytes(20)
        mutated = mutated or bytearray(b"\xff")
    assert outcome(bytes(mutated)) in {"picture", *REASONS}


@pytest.mark.parametrize(
    ("size", "input_px", "divisor"),
    [
        ((640, 480), None, 1),
        ((640, 480), (224, 224), 1),
        ((640, 480), (96, 96), 2),
        ((1280, 720), (96, 96), 2),
        ((1920, 1080), (224, 224), 2),
        ((1920, 1080), (96, 96), 4),
        ((3840, 2160), (96, 96), 8),
        ((200, 4000), (96, 96), 1),
    ],
)
def test_a_picture_stays_twice_as_large_as_the_models_input(size, input_px, divisor):
    assert choose_divisor(*size, input_px) == divisor


@pytest.mark.parametrize("size", [(481, 641), (1080, 1920), (720, 1280)])
def test_odd_sizes_shrink_alike_in_both_decoders(size, strict):
    data = encode(photo(*size))
    picture = decode(data, (96, 96), strict=strict)
    divisor = choose_divisor(size[1], size[0], (96, 96))
    assert divisor > 1
    assert picture.shape == (-(-size[0] // divisor), -(-size[1] // divisor), 3)


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("size", [(480, 640), (720, 1280), (1080, 1920)])
def test_the_models_input_hardly_changes_when_a_jpeg_is_decoded_smaller(size, fit, strict):
    preprocessing = Preprocessing(width_px=96, height_px=96, fit=fit)
    data = encode(photo(*size))
    full = preprocessing.apply(decode(data, strict=strict))
    reduced = preprocessing.apply(decode(data, (96, 96), strict=strict))
    # Of the same order as what preprocessing itself differs from exact averaging on photos.
    assert np.abs(np.int16(full) - reduced).mean() < 1.0


@settings(deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(1, 3000))
def test_a_stream_is_cut_into_its_jpegs_wherever_its_chunks_end(seeds, chunk):
    jpegs = [encode(photo(24, 32, seed)) for seed in seeds]
    stream = b"".join(jpegs)
    splitter = JpegSplitter()
    pieces = []
    for start in range(0, len(stream), chunk):
        pieces += splitter.feed(stream[start : start + chunk])
    assert pieces == jpegs


def test_a_thumbnail_inside_a_jpeg_does_not_end_it():
    thumbnail = encode(photo(16, 16))
    exif = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    jpeg = JPEG[:2] + exif + JPEG[2:]
    assert JpegSplitter().feed(jpeg + jpeg) == [jpeg, jpeg]


def test_after_a_cut_jpeg_the_next_is_found():
    assert JpegSplitter().feed(JPEG[:-50] + JPEG + JPEG) == [JPEG[:-50], JPEG, JPEG]


def test_rubbish_between_jpegs_is_handed_on_and_padding_is_not():
    pieces = JpegSplitter().feed(b"rubbish" + JPEG + bytes(20) + JPEG)
    assert pieces == [b"rubbish", JPEG, JPEG]


# As phones append them: Samsung's own notes, a film with a start marker by chance, zeros.
TRAILERS = {
    "SEFT": b"\0\0\x01\x0a\x0e\0\0\0Image_UTC_Data1764200000000SEFHk\0\0\0\x01\0\0\0SEFT",
    "a film": b"\0\0\0\x18ftypmp42\0\0\0\0isommp42"
    + bytes(range(256)) * 9
    + b"\xff\xd8\xff\xe0\0\x10" * 3
    + bytes(30),
    "the start of a start": b"notes\xff\xd8\xff\xdb\0\x03\0\xff\xd9 and an end",
}


@pytest.mark.parametrize("chunk", [1, 7, 1000, 10**6])
@pytest.mark.parametrize("trailer", TRAILERS.values(), ids=TRAILERS)
def test_what_a_phone_appends_to_its_photo_is_no_picture(trailer, chunk):
    stream, splitter, pieces = (JPEG + trailer) * 3, JpegSplitter(), []
    for at in range(0, len(stream), chunk):
        pieces += splitter.feed(stream[at : at + chunk])
    assert pieces == [JPEG] * 3
    assert splitter.take_oddity() == "extra bytes"
    assert splitter.take_oddity() == ""


@pytest.mark.parametrize("trailer", TRAILERS.values(), ids=TRAILERS)
def test_what_a_phone_appends_is_counted_as_bytes_too_many(trailer, strict):
    room = {}

    def buffer(height, width):
        return memoryview(room.setdefault("pixels", bytearray(3 * height * width)))

    decoder = JpegDecoder()
    decoder._strict = strict
    assert decoder.decode(JPEG + trailer, buffer) == "extra bytes"
    assert decoder.decode(JPEG + b"\r\n\0\0", buffer) == ""


def with_companion(order):
    """A photo whose header lists a smaller picture behind it, as an HDR photo's does."""
    signed, small = {"<": b"II*\0", ">": b"MM\0*"}[order], encode(photo(16, 16))

    def build(offset):
        entries = struct.pack(order + "IIIHH" * 2, 0, 0, 0, 0, 0, 0, len(small), offset, 0, 0)
        body = struct.pack(order + "IHHHII", 8, 1, 0xB002, 7, 32, 26) + bytes(4) + entries
        mpf = b"MPF\0" + signed + body
        return JPEG[:2] + b"\xff\xe2" + (len(mpf) + 2).to_bytes(2, "big") + mpf + JPEG[2:]

    # Offsets count from the list's own beginning.
    return build(len(build(0)) - 10), small


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("chunk", [1, 1000, 10**6])
def test_the_smaller_picture_that_belongs_to_a_photo_is_none_of_the_stream(order, chunk):
    jpeg, small = with_companion(order)
    stream, splitter, pieces = (jpeg + small) * 2 + JPEG + small, JpegSplitter(), []
    for at in range(0, len(stream), chunk):
        pieces += splitter.feed(stream[at : at + chunk])
    assert pieces == [jpeg, jpeg, JPEG, small]


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_any_list_of_further_pictures_is_read_or_left(data):
    for signature in (b"II*\0", b"MM\0*"):
        assert all(one >= 0 for one in find_companions(b"\xff\xe2\0\0MPF\0" + signature + data))


def test_padding_does_not_make_the_next_picture_old():
    splitter = JpegSplitter()
    splitter.feed(JPEG + b"\0\0\r\n")
    assert not splitter.begun


@pytest.mark.parametrize("chunk", [1, 3, 50, 10**6])
def test_the_parts_of_a_fetched_stream_are_its_jpegs(chunk):
    head = b"\r\n--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(JPEG)
    stream, splitter, pieces = (head + JPEG) * 3 + head, JpegSplitter(), []
    for at in range(0, len(stream), chunk):
        pieces += splitter.feed(stream[at : at + chunk])
    assert pieces == [JPEG] * 3


@settings(deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=20))
def test_no_bytes_at_all_break_the_splitter(chunks):
    splitter = JpegSplitter()
    for chunk in chunks:
        for piece in splitter.feed(chunk):
            with pytest.raises(BadFrame):
                check_jpeg(piece)

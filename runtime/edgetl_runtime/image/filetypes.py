"""File types by content, ignoring the name.

Each value is from the format's own specification; most are listed in RFC 9559 (Matroska), ISO/IEC
14496-12 (MP4), 13818-1 (transport streams), 14496-10 and 23008-2 (H.264, HEVC), and at
https://en.wikipedia.org/wiki/List_of_file_signatures.
"""

import codecs
import io
import re
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from edgetl_runtime.errors import FrameError
from edgetl_runtime.system.obstacles import find_obstacle

Kind = Literal["picture", "video", "other", "unknown"]

_HEAD_BYTES = 4096
# A frame of a video is smaller; so much of a photo is read to know that no second one follows.
_FRAME_LIMIT_BYTES = 1 << 20
_GIF_LIMIT_BLOCKS = 10_000
_ANIMATED_WEBP = 0x02
_CONVERT = "convert it to JPEG"


class FileType(msgspec.Struct, frozen=True):
    """The type of a file.

    Attributes:
        kind: `picture` and `video`: OpenCV can be asked to read it. `other`: it is neither, or a
            image that OpenCV has no decoder for. `unknown`: none of those that are known here.
        name: For people, with its article, such as `a PNG picture`.
        remedy: What to do about one that cannot be read; empty where there is nothing.
        several: A file of several images, such as an animation; the first one counts.
    """

    kind: Kind
    name: str
    remedy: str = ""
    several: bool = False

    def __str__(self) -> str:
        """`a HEIC image; convert it to JPEG`."""
        return f"{self.name}; {self.remedy}" if self.remedy else self.name

    def refuse(self, expected: str = "an image") -> str:
        """Why it is not what was expected: `not an image, but a text file`."""
        says_all = "image" in self.name or self is EMPTY
        return str(self) if says_all else f"not {expected}, but {self}"


EMPTY = FileType("other", "an empty file")
TEXT = FileType("other", "a text file")
UNKNOWN = FileType("unknown", "a file of an unknown type")
_HEIC = FileType(
    "other",
    "a HEIC image, which OpenCV cannot read",
    f"{_CONVERT} (`heif-convert IN.heic OUT.jpg`), or set the phone's camera to JPEG "
    "(iPhone: Most Compatible)",
)
_SOUND = FileType("other", "a sound file")
_RAW = "a camera's raw image, which OpenCV cannot read"

# offset, bytes, what it is; the first that fits counts.
_SIGNATURES: tuple[tuple[int, bytes, FileType], ...] = (
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", FileType("picture", "a JPEG 2000 image")),
    (0, b"\xff\x4f\xff\x51", FileType("picture", "a JPEG 2000 image")),
    (0, b"II+\0", FileType("picture", "a TIFF image")),
    (0, b"MM\0+", FileType("picture", "a TIFF image")),
    (0, b"\x59\xa6\x6a\x95", FileType("picture", "a Sun raster image")),
    (0, b"\x76\x2f\x31\x01", FileType("picture", "an OpenEXR image")),
    (0, b"#?RADIANCE", FileType("picture", "a Radiance image")),
    (0, b"#?RGBE", FileType("picture", "a Radiance image")),
    (0, b"\xff\x0a", FileType("other", "a JPEG XL image, which OpenCV cannot read", _CONVERT)),
    (
        *(0, b"\0\0\0\x0cJXL \r\n\x87\n"),
        FileType("other", "a JPEG XL image, which OpenCV cannot read", _CONVERT),
    ),
    (0, b"8BPS", FileType("other", "a Photoshop file, which OpenCV cannot read", _CONVERT)),
    (0, b"\0\0\x01\0", FileType("other", "an icon, which OpenCV cannot read", _CONVERT)),
    (0, b"FUJIFILMCCD-RAW", FileType("other", _RAW, _CONVERT)),
    (0, b"IIU\0", FileType("other", _RAW, _CONVERT)),
    (0, b"IIRO", FileType("other", _RAW, _CONVERT)),
    (0, b"\x1aE\xdf\xa3", FileType("video", "a Matroska or WebM video")),
    (0, b"OggS", FileType("video", "an Ogg video")),
    (0, b"FLV\x01", FileType("video", "an FLV video")),
    (0, b"0&\xb2u\x8ef\xcf\x11", FileType("video", "a WMV video")),
    (0, b"\0\0\x01\xba", FileType("video", "an MPEG video")),
    (0, b"\0\0\x01\xb3", FileType("video", "an MPEG video")),
    (0, b"\0\0\x01\xb0", FileType("video", "an MPEG-4 video")),
    (0, b"YUV4MPEG2", FileType("video", "a raw Y4M video")),
    (0, b"DKIF", FileType("video", "an IVF video")),
    (0, b"\x06\x0e+4\x02\x05\x01\x01", FileType("video", "an MXF video")),
    (0, b".RMF", FileType("video", "a RealMedia video")),
    (0, b"\x1f\x07\0", FileType("video", "a DV video")),
    (0, b"\x12\0\x0a", FileType("video", "a bare AV1 video")),
    (0, b"ID3", _SOUND),
    (0, b"fLaC", _SOUND),
    (0, b"%PDF", FileType("other", "a PDF document")),
    (0, b"PK\x03\x04", FileType("other", "a ZIP archive", "unpack it")),
    (0, b"Rar!", FileType("other", "a RAR archive", "unpack it")),
    (0, b"7z\xbc\xaf\x27\x1c", FileType("other", "a 7z archive", "unpack it")),
    (0, b"\x1f\x8b", FileType("other", "a gzip archive", "unpack it")),
    (0, b"BZh", FileType("other", "a bzip2 archive", "unpack it")),
    (0, b"\xfd7zXZ\0", FileType("other", "an XZ archive", "unpack it")),
    (0, b"(\xb5/\xfd", FileType("other", "a Zstandard archive", "unpack it")),
    (257, b"ustar", FileType("other", "a tar archive", "unpack it")),
    (0, b"SQLite format 3\0", FileType("other", "a database")),
    (0, b"\x7fELF", FileType("other", "a program")),
    (0, b"\xd0\xcf\x11\xe0", FileType("other", "an Office document or a thumbnail database")),
)
_RIFF = {
    b"WEBP": FileType("picture", "a WebP image"),
    b"AVI ": FileType("video", "an AVI video"),
    b"WAVE": _SOUND,
}
_MP4 = FileType("video", "an MP4 or QuickTime video")
# Of QuickTime's oldest files, which have no `ftyp`; and of ones that begin with their frames.
_ATOMS = {b"moov", b"mdat", b"wide", b"pnot", b"free", b"skip"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_SOUND_BRANDS = {b"M4A ", b"M4B ", b"M4P "}
_RAW_BRANDS = {b"crx "}
# Network abstraction units that a bare stream begins with: slices, SEI, parameter sets, delimiter.
_H264_UNITS = {1, 5, 6, 7, 8, 9}
_HEVC_UNITS = {32, 33, 34, 35, 39}
# Tags of TIFF: what sort of image a directory holds, and the mark of Adobe's raw format.
_SUBFILE, _DNG_VERSION = 254, 50706
_START_CODE = re.compile(rb"\0?\0\0\x01", re.DOTALL)
_PNM = re.compile(rb"P([1-6Ff]\s+[#0-9]|7\nWIDTH)")
# The size of the header that follows, of all of BMP's versions.
_BMP = re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL)
_MARKUP = re.compile(rb"\s*(<!doctype html|<html|<head|<body)", re.IGNORECASE)


def identify(path: Path) -> FileType:
    """Judges a file.

    Raises:
        FrameError: If it cannot be read; the message says why, without its name.
    """
    if obstacle := find_obstacle(path):
        raise FrameError(obstacle)
    if path.is_dir():
        raise FrameError("a folder, expected a file")
    try:
        with path.open("rb") as file:
            return judge(file)
    except OSError as error:
        raise FrameError(f"unreadable ({error.strerror or error})") from error


def judge_data(data: bytes) -> FileType:
    """Judges the bytes of a file."""
    return judge(io.BytesIO(data))


def judge(file: BinaryIO) -> FileType:
    """Judges an open file, which is read from its start and left anywhere.

    Raises:
        OSError: If it cannot be read.
    """
    head = file.read(_HEAD_BYTES)
    if not head:
        return EMPTY
    if head.startswith(b"\xff\xd8"):
        motion = _follows_another(file)
        return FileType("video", "a Motion JPEG video") if motion else _picture("a JPEG image")
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return _picture("a PNG image", _is_animated_png(file))
    if head.startswith((b"GIF87a", b"GIF89a")):
        return _picture("a GIF image", _is_animated_gif(file))
    if head.startswith((b"II*\0", b"MM\0*")):
        return _judge_tiff(file, "little" if head[:2] == b"II" else "big")
    return _judge_head(head)


def _picture(name: str, several: bool = False) -> FileType:
    return FileType("picture", name, several=several)


def _judge_head(head: bytes) -> FileType:
    for offset, signature, known in _SIGNATURES:
        if head.startswith(signature, offset):
            return known
    if head.startswith(b"RIFF") and (known_riff := _RIFF.get(head[8:12])):
        several = head[12:16] == b"VP8X" and bool(head[20] & _ANIMATED_WEBP)
        return msgspec.structs.replace(known_riff, several=several)
    if head[4:8] == b"ftyp":
        return _judge_brands(head)
    if head[4:8] in _ATOMS:
        return _MP4
    if _PNM.match(head):
        return _picture("a PNM image")
    if _BMP.match(head):
        return _picture("a BMP image")
    return _judge_stream(head) or _judge_text(head)


def _judge_brands(head: bytes) -> FileType:
    size = min(len(head), max(16, int.from_bytes(head[:4], "big")))
    major, brands = head[8:12], {head[at : at + 4] for at in range(8, size, 4)}
    if brands & {b"avif", b"avis"}:
        return _picture("an AVIF image", several=major == b"avis")
    if major in _HEIF_BRANDS:
        return _HEIC
    if major in _RAW_BRANDS:
        return FileType("other", _RAW, _CONVERT)
    return _SOUND if major in _SOUND_BRANDS else _MP4


def _judge_stream(head: bytes) -> FileType | None:
    """Video without a container, in packets, or as a server sent it."""
    # 188 bytes a packet; 192 with the time before each (.mts); 204 with a checksum after each.
    for first, step in ((0, 188), (4, 192), (0, 204)):
        marks = head[first::step][:4]
        if len(marks) >= 2 and set(marks) == {0x47}:
            return FileType("video", "an MPEG transport stream")
    if (code := _START_CODE.match(head)) and len(head) > code.end() + 1:
        unit, following = head[code.end()], head[code.end() + 1]
        if unit < 0x80 and unit & 0x1F in _H264_UNITS:
            return FileType("video", "a bare H.264 video")
        if unit < 0x80 and unit >> 1 in _HEVC_UNITS and following & 0x07:
            return FileType("video", "a bare HEVC video")
    if head.lstrip(b"\r\n").startswith(b"--") and b"image/jpeg" in head[:512].lower():
        return FileType("video", "a recorded Motion JPEG stream")
    return None


def _judge_text(head: bytes) -> FileType:
    head = head.removeprefix(codecs.BOM_UTF8)
    if head.startswith(b"#EXTM3U"):
        return FileType("other", "a playlist", "give the address of the stream itself")
    if _MARKUP.match(head):
        return FileType("other", "a web page")
    if b"<svg" in head[:1024]:
        return FileType("other", "an SVG drawing", _CONVERT)
    if head.startswith(b"version https://git-lfs"):
        return FileType("other", "a Git LFS pointer", "fetch the file (`git lfs pull`)")
    try:
        # The last character may be cut.
        text = head.decode("utf-8", "strict" if len(head) < _HEAD_BYTES else "ignore")
    except UnicodeDecodeError:
        return UNKNOWN
    plain = all(one.isprintable() or one.isspace() for one in text)
    return TEXT if plain and "\0" not in text else UNKNOWN


def _judge_tiff(file: BinaryIO, order: Literal["little", "big"]) -> FileType:
    """Cameras' raw images are TIFF, too (.dng, .nef, .arw, .cr2), with a thumbnail in front."""
    file.seek(8)
    is_canon = file.read(2) == b"CR"
    file.seek(4)
    tags, following = _read_tags(file, order)
    if is_canon or _DNG_VERSION in tags or tags.get(_SUBFILE, 0) & 1:
        return FileType("other", _RAW, _CONVERT)
    return _picture("a TIFF image", bool(following))


def _read_tags(file: BinaryIO, order: Literal["little", "big"]) -> tuple[dict[int, int], int]:
    """The tags of the first directory, and where the next one is; 0: nowhere."""
    file.seek(int.from_bytes(file.read(4), order))
    count = int.from_bytes(file.read(2), order)
    data = file.read(12 * count)
    tags = {
        int.from_bytes(data[at : at + 2], order): int.from_bytes(data[at + 8 : at + 12], order)
        for at in range(0, len(data), 12)
    }
    return tags, int.from_bytes(file.read(4), order)


def _is_animated_png(file: BinaryIO) -> bool:
    """Whether `acTL` comes before the pixels, with more than one frame."""
    file.seek(8)
    while len(head := file.read(8)) == 8:
        size, name = int.from_bytes(head[:4], "big"), head[4:]
        if name == b"acTL":
            return int.from_bytes(file.read(4), "big") > 1
        if name in (b"IDAT", b"IEND"):
            return False
        file.seek(size + 4, io.SEEK_CUR)
    return False


def _is_animated_gif(file: BinaryIO) -> bool:
    """Whether a second image follows the first."""
    file.seek(10)
    _skip_colours(file, file.read(1))
    file.seek(2, io.SEEK_CUR)
    pictures = 0
    for _ in range(_GIF_LIMIT_BLOCKS):
        mark = file.read(1)
        if mark == b",":
            pictures += 1
            if pictures == 2:
                return True
            file.seek(8, io.SEEK_CUR)
            _skip_colours(file, file.read(1))
        if mark not in (b",", b"!"):
            return False
        # An extension's label, or the smallest size of an image's codes.
        file.seek(1, io.SEEK_CUR)
        while size := file.read(1):
            if size == b"\0":
                break
            file.seek(size[0], io.SEEK_CUR)
    return False


def _skip_colours(file: BinaryIO, packed: bytes) -> None:
    if packed and packed[0] & 0x80:
        file.seek(3 << ((packed[0] & 0x07) + 1), io.SEEK_CUR)


def _follows_another(file: BinaryIO) -> bool:
    """Whether a JPEG of the same size follows: a video, and no photo with a smaller preview."""
    file.seek(0)
    first = _read_jpeg_size(file)
    if first is None or not _skip_pixels(file):
        return False
    return _read_jpeg_size(file) == first


def _read_jpeg_size(file: BinaryIO) -> bytes | None:
    """(height, width) as four bytes, up to the start of the pixels.

    None of what is not a JPEG, and of a photo: one with EXIF or with several images by intent.
    """
    if file.read(2) != b"\xff\xd8":
        return None
    size = None
    while len(head := file.read(4)) == 4 and head[0] == 0xFF:
        length = int.from_bytes(head[2:], "big") - 2
        body = file.read(min(max(length, 0), 8))
        file.seek(max(length, 0) - len(body), io.SEEK_CUR)
        if body.startswith((b"Exif", b"MPF\0")):
            return None
        if 0xC0 <= head[1] <= 0xCF and head[1] not in (0xC4, 0xC8, 0xCC):
            size = body[1:5]
        if head[1] == 0xDA:
            return size
    return None


def _skip_pixels(file: BinaryIO) -> bool:
    """Goes behind the end of a JPEG, and behind zeros after it; False if that is far away."""
    before = b""
    for _ in range(_FRAME_LIMIT_BYTES >> 16):
        at, data = file.tell(), file.read(1 << 16)
        if not data:
            return False
        if (end := (before + data).find(b"\xff\xd9")) >= 0:
            file.seek(at - len(before) + end + 2)
            padded = file.read(64)
            file.seek(-len(padded.lstrip(b"\0")), io.SEEK_CUR)
            return bool(padded)
        before = data[-1:]
    return False

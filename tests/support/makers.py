"""Small Live and Motion Photo files, made byte by byte, for tests."""

import hashlib
import io
import os
import struct
from collections.abc import Callable
from fractions import Fraction
from functools import wraps
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

IDENTIFIER = "0B1C2D3E-1111-4222-8333-444455556666"
OTHER_IDENTIFIER = "FFFFFFFF-1111-4222-8333-444455556666"
TIME_BASE = 600
# Variable on purpose, like a phone's: seconds of each frame.
TIMES_S = (0.0, 0.05, 0.1, 0.15, 0.25, 0.3, 0.4, 0.45, 0.5, 0.6, 0.65, 0.7)


# --- pictures -------------------------------------------------------------------------------


def scene(width: int = 192, height: int = 144, seed: int = 0) -> np.ndarray:
    """A textured picture without symmetry, uint8 (height, width, 3)."""
    rng = np.random.default_rng(seed)
    small = rng.random((height // 8 + 1, width // 8 + 1, 3))
    image = Image.fromarray((small * 255).astype(np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    picture = np.array(image)
    picture[: height // 6, : width // 4] = (230, 40, 40)  # a red mark at the top left
    picture[-height // 6 :, : width // 4] = (40, 60, 230)  # a blue one at the bottom left
    return picture


def moving(picture: np.ndarray, count: int = len(TIMES_S), step: int = 3) -> list[np.ndarray]:
    """Frames of a camera that pans over a picture: frame i is moved left by i * step pixels."""
    return [np.roll(picture, -index * step, axis=1) for index in range(count)]


# --- clips ----------------------------------------------------------------------------------


def encoded_once(encode: Callable[..., bytes]) -> Callable[..., bytes]:
    """Encode the same pictures with the same options once per run of the tests."""
    known: dict[object, bytes] = {}

    def key(value: object) -> object:
        if isinstance(value, np.ndarray):
            digest = hashlib.blake2b(np.ascontiguousarray(value)).digest()
            return value.shape, value.dtype.str, digest
        return tuple(map(key, value)) if isinstance(value, list | tuple) else value

    @wraps(encode)
    def remembered(*arguments: object, **options: object) -> bytes:
        name = key((arguments, sorted(options.items())))
        if name not in known:
            known[name] = encode(*arguments, **options)
        return known[name]

    return remembered


@encoded_once
def encode_clip(
    frames: list[np.ndarray],
    times_s: tuple[float, ...] = TIMES_S,
    *,
    codec: str = "libx264",
    container: str = "mov",
    full_range: bool = True,
    matrix: int = 6,
    primaries: int = 1,
    display: tuple[int, int, int, int] = (1, 0, 0, 1),
    extra_track: list[np.ndarray] | None = None,
    sound: bool = False,
    time_base: int = TIME_BASE,
) -> bytes:
    """Encode frames (uint8 RGB) at these times; the index ('moov') comes last, as phones write."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        tracks = [_add_video(output, frames, codec, full_range, matrix, primaries)]
        jobs = [(tracks[0], frames, times_s)]
        if extra_track:
            jobs.append(
                (
                    _add_video(output, extra_track, codec, full_range, matrix, primaries),
                    extra_track,
                    times_s[: len(extra_track)],
                )
            )
        audio = output.add_stream("aac", rate=44100) if sound else None
        for stream, _, _ in jobs:
            stream.codec_context.time_base = Fraction(1, time_base)
        for stream, pictures, times in jobs:
            for picture, time_s in zip(pictures, times, strict=False):
                frame = _frame(picture, stream.pix_fmt, full_range, matrix)
                frame.pts = round(time_s * time_base)
                frame.time_base = Fraction(1, time_base)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        if audio is not None:
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 4096), np.float32), format="fltp", layout="mono"
            )
            silence.sample_rate = 44100
            silence.pts = 0
            output.mux(audio.encode(silence))
            output.mux(audio.encode(None))
    data = file.getvalue()
    return with_display(data, display) if container in ("mov", "mp4") else data


def _add_video(output, frames, codec, full_range, matrix, primaries):
    height, width = frames[0].shape[:2]
    stream = output.add_stream(codec, rate=Fraction(30))
    stream.codec_context.thread_count = 3  # the same pictures whatever the number of cores
    stream.width, stream.height = width, height
    stream.pix_fmt = "yuvj420p" if full_range and codec == "libx264" else "yuv420p"
    stream.codec_context.gop_size = 5
    stream.codec_context.color_range = 2 if full_range else 1
    stream.codec_context.colorspace = matrix
    stream.codec_context.color_primaries = primaries
    stream.codec_context.color_trc = 1
    if codec == "libx265":
        stream.options = {"crf": "8", "x265-params": "log-level=none:keyint=5"}
    else:
        stream.options = {"crf": "8"}
    return stream


def _frame(picture, pix_fmt, full_range, matrix):
    import av

    rgb = av.VideoFrame.from_ndarray(picture, format="rgb24")
    frame = rgb.reformat(
        format=pix_fmt,
        dst_colorspace=matrix,
        src_color_range=2,
        dst_color_range=2 if full_range else 1,
    )
    frame.colorspace, frame.color_range = matrix, 2 if full_range else 1
    return frame


def box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", len(payload) + 8, kind) + payload


def top_boxes(data: bytes) -> list[tuple[bytes, int, int]]:
    """(type, start, end) of the boxes at the top of a file."""
    found, at = [], 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size == 1:
            size = struct.unpack_from(">Q", data, at + 8)[0]
        found.append((kind, at, at + size))
        at += size
    return found


def with_display(data: bytes, display: tuple[int, int, int, int]) -> bytes:
    """Set the display matrix of every picture track."""
    out = bytearray(data)
    at = data.find(b"tkhd")
    while at >= 0:
        if any(data[at + 80 : at + 88]):  # width and height: sound tracks have none
            a, b, c, d = (value * 65536 for value in display)
            struct.pack_into(">5i", out, at + 44, a, b, 0, c, d)
        at = data.find(b"tkhd", at + 4)
    return bytes(out)


def index_first(data: bytes) -> bytes:
    """Move 'moov' before 'mdat', as programs that write for the web do."""
    start, end = next((start, end) for kind, start, end in top_boxes(data) if kind == b"moov")
    first = top_boxes(data)[0][2]
    moov = bytearray(data[start:end])
    at = moov.find(b"stco")
    while at >= 0:
        count = struct.unpack_from(">I", moov, at + 8)[0]
        for index in range(count):
            (offset,) = struct.unpack_from(">I", moov, at + 12 + 4 * index)
            struct.pack_into(">I", moov, at + 12 + 4 * index, offset + len(moov))
        at = moov.find(b"stco", at + 4)
    return data[:first] + bytes(moov) + data[first:start] + data[end:]


def with_keys(data: bytes, keys: dict[str, str]) -> bytes:
    """Add QuickTime keys where Apple writes them: moov/meta, without version and flags."""
    start, end = next((start, end) for kind, start, end in top_boxes(data) if kind == b"moov")
    names = b"".join(box(b"mdta", name.encode()) for name in keys)
    values = b"".join(
        box(struct.pack(">I", index), box(b"data", struct.pack(">II", 1, 0) + value.encode()))
        for index, value in enumerate(keys.values(), start=1)
    )
    meta = box(
        b"meta",
        box(b"hdlr", bytes(8) + b"mdta" + bytes(14))
        + box(b"keys", struct.pack(">II", 0, len(keys)) + names)
        + box(b"ilst", values),
    )
    return data[:start] + box(b"moov", data[start + 8 : end] + meta) + data[end:]


def with_still_time(
    data: bytes,
    time_s: float | None,
    transform: np.ndarray | None = None,
    reference: tuple[float, float] = (192.0, 144.0),
) -> bytes:
    """Add Apple's still-image-time track: an empty edit, then a sample of 1/600 s.

    time_s None leaves the edit out, as programs that re-export a clip do.
    """
    boxes = {kind: (start, end) for kind, start, end in top_boxes(data)}
    start, end = boxes[b"moov"]
    movie_scale = struct.unpack_from(">I", data, data.find(b"mvhd") + 16)[0]
    values = [(1, b"com.apple.quicktime.still-image-time", 65, b"\xff")]
    if transform is not None:
        name = b"com.apple.quicktime.live-photo-still-image-transform"
        values.append((2, name, 0x53, transform.astype(">f8").tobytes()))
        values.append((3, name + b"-reference-dimensions", 0x47, struct.pack(">ff", *reference)))
    sample = b"".join(
        struct.pack(">II", len(value) + 8, key) + value for key, _, _, value in values
    )
    media = box(b"mdat", sample)
    track = _metadata_track(values, start + 8, len(sample), time_s, movie_scale)
    moov = box(b"moov", data[start + 8 : end] + track)
    return data[:start] + media + moov + data[end:]


def _metadata_track(values, offset, size, time_s, movie_scale):
    keys = b"".join(
        box(
            struct.pack(">I", key),
            box(b"keyd", b"mdta" + name) + box(b"dtyp", struct.pack(">II", 0, kind)),
        )
        for key, name, kind, _ in values
    )
    entry = box(b"mebx", bytes(6) + struct.pack(">H", 1) + box(b"keys", keys))
    zero = bytes(4)
    table = (
        box(b"stsd", zero + struct.pack(">I", 1) + entry)
        + box(b"stts", zero + struct.pack(">III", 1, 1, 1))
        + box(b"stsc", zero + struct.pack(">IIII", 1, 1, 1, 1))
        + box(b"stsz", zero + struct.pack(">III", 0, 1, size))
        + box(b"stco", zero + struct.pack(">II", 1, offset))
    )
    handler = zero + b"mhlrmeta" + bytes(12) + b"\0"
    media = box(
        b"mdia",
        box(b"mdhd", bytes(12) + struct.pack(">IIHH", 600, 1, 0x55C4, 0))
        + box(b"hdlr", handler)
        + box(b"minf", box(b"gmhd", box(b"gmin", bytes(16))) + box(b"stbl", table)),
    )
    head = struct.pack(">IIIII", 15, 0, 0, 99, 0) + struct.pack(">I", 1) + bytes(16)
    head += struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30) + bytes(8)
    edits = b""
    if time_s is not None:
        wait = struct.pack(">IiI", round(time_s * movie_scale), -1, 65536)
        edits = box(
            b"edts",
            box(b"elst", zero + struct.pack(">I", 2) + wait + struct.pack(">IiI", 1, 0, 65536)),
        )
    return box(b"trak", box(b"tkhd", head) + edits + media)


# --- stills ---------------------------------------------------------------------------------


def maker_note(identifier: str) -> bytes:
    text = identifier.encode() + b"\0"
    return (
        b"Apple iOS\0\0\x01MM"
        + struct.pack(">H", 1)
        + struct.pack(">HHII", 0x11, 2, len(text), 32)
        + bytes(4)
        + text
    )


def make_exif(
    identifier: str | None = None,
    orientation: int = 1,
    make: str = "Apple",
    model: str = "iPhone 99",
    taken: str = "2024:05:06 07:08:09",
) -> bytes:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = make, model, orientation
    exif[0x0131] = "99.1"
    details = exif.get_ifd(0x8769)
    details[0x9003], details[0x9011], details[0x9291] = taken, "+02:00", "250"
    if identifier:
        details[0x927C] = maker_note(identifier)
    return exif.tobytes()


def save_still(path: Path, picture: np.ndarray | Image.Image, **options: object) -> Path:
    """Write a still by its extension; a HEIC goes through pillow-heif."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    options = {key: value for key, value in options.items() if value is not None}
    if path.suffix.lower() in (".heic", ".heif"):
        path.write_bytes(_heic(np.asarray(image), **options))
        return path
    if path.suffix.lower() in (".jpg", ".jpeg"):
        options = {"quality": 95, "subsampling": 0, **options}
    image.save(path, **options)
    return path


@encoded_once
def _heic(picture: np.ndarray, **options: object) -> bytes:
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(picture)).save(file, quality=90, **options)
    return file.getvalue()


def oriented(picture: np.ndarray, orientation: int) -> np.ndarray:
    """Store an upright picture as a camera held in this orientation would (EXIF 1-8)."""
    stored = {
        1: picture,
        2: picture[:, ::-1],
        3: picture[::-1, ::-1],
        4: picture[::-1],
        5: picture.swapaxes(0, 1),
        6: np.rot90(picture, 1),
        7: picture.swapaxes(0, 1)[::-1, ::-1],
        8: np.rot90(picture, -1),
    }
    return np.ascontiguousarray(stored[orientation])


# --- whole Live Photos ----------------------------------------------------------------------


def apple_pair(
    folder: Path,
    *,
    stem: str = "IMG_0001",
    still_suffix: str = ".JPG",
    video_suffix: str = ".MOV",
    identifier: str | None = IDENTIFIER,
    video_identifier: str | None = IDENTIFIER,
    key_time_s: float | None = 0.4,
    track: bool = True,
    transform: np.ndarray | None = None,
    display: tuple[int, int, int, int] = (1, 0, 0, 1),
    still: np.ndarray | None = None,
    still_options: dict[str, object] | None = None,
    **clip_options: object,
) -> tuple[Path, Path]:
    """Write an Apple pair: a still of twice the clip's size, and the clip."""
    folder.mkdir(exist_ok=True)
    frames = moving(scene())
    clip = encode_clip(frames, display=display, **clip_options)
    if video_identifier:
        clip = with_keys(clip, {"com.apple.quicktime.content.identifier": video_identifier})
    if track:
        clip = with_still_time(clip, key_time_s, transform)
    picture = still if still is not None else enlarged(frames[6])
    options = {"exif": make_exif(identifier), **(still_options or {})}
    photo = save_still(folder / f"{stem}{still_suffix}", picture, **options)
    video = folder / f"{stem}{video_suffix}"
    video.write_bytes(clip)
    return photo, video


def enlarged(picture: np.ndarray, factor: int = 2) -> np.ndarray:
    size = (picture.shape[1] * factor, picture.shape[0] * factor)
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def google_xmp(
    *,
    length: int | None,
    timestamp_us: int | None = 400_000,
    mime: str = "image/jpeg",
    padding: int = 0,
    children: bool = False,
    camera: str = "Camera",
) -> bytes:
    """XMP of Motion Photo 1.0, by attributes or (children) by elements."""
    stamp = (
        ""
        if timestamp_us is None
        else f'{camera}:MotionPhotoPresentationTimestampUs="{timestamp_us}"'
    )
    items = ""
    for kind, semantic, size in ((mime, "Primary", 0), ("video/mp4", "MotionPhoto", length)):
        if size is None:
            continue
        pad = padding if semantic == "MotionPhoto" else 0
        if children:
            fields = (
                f"<Item:Mime>{kind}</Item:Mime><Item:Semantic>{semantic}</Item:Semantic>"
                f"<Item:Length>{size}</Item:Length><Item:Padding>{pad}</Item:Padding>"
            )
            resource = 'rdf:parseType="Resource"'
            items += f"<rdf:li {resource}><Container:Item {resource}>{fields}"
            items += "</Container:Item></rdf:li>"
        else:
            items += (
                f'<rdf:li rdf:parseType="Resource"><Container:Item Item:Mime="{kind}"'
                f' Item:Semantic="{semantic}" Item:Length="{size}" Item:Padding="{pad}"/></rdf:li>'
            )
    return _xmp(
        f'{camera}:MotionPhoto="1" {camera}:MotionPhotoVersion="1" {stamp}',
        f"<Container:Directory><rdf:Seq>{items}</rdf:Seq></Container:Directory>",
        camera,
    )


def micro_video_xmp(offset: int, timestamp_us: int = 400_000) -> bytes:
    return _xmp(
        f'GCamera:MicroVideo="1" GCamera:MicroVideoVersion="1" GCamera:MicroVideoOffset="{offset}"'
        f' GCamera:MicroVideoPresentationTimestampUs="{timestamp_us}"',
        "",
        "GCamera",
    )


def _xmp(attributes: str, inner: str, camera: str) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about=""'
        f' xmlns:{camera}="http://ns.google.com/photos/1.0/camera/"'
        ' xmlns:Container="http://ns.google.com/photos/1.0/container/"'
        ' xmlns:Item="http://ns.google.com/photos/1.0/container/item/"'
        f" {attributes}>{inner}</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def motion_clip(**options: object) -> bytes:
    return encode_clip(moving(scene()), container="mp4", **options)


def google_jpeg(path: Path, *, clip: bytes | None = None, xmp: bytes | None = None) -> Path:
    """A Motion Photo 1.0 JPEG: [JPEG][MP4]."""
    clip = motion_clip() if clip is None else clip
    xmp = google_xmp(length=len(clip)) if xmp is None else xmp
    exif = make_exif(make="Google", model="Pixel 99")
    save_still(path, enlarged(moving(scene())[6]), xmp=xmp, exif=exif)
    path.write_bytes(path.read_bytes() + clip)
    return path


def google_heic(path: Path, *, clip: bytes | None = None, trailer: bytes = b"") -> Path:
    """A Motion Photo HEIC: image boxes, then 'mpvd' with the MP4 (and a trailer inside)."""
    clip = motion_clip() if clip is None else clip
    xmp = google_xmp(length=len(clip), mime="image/heic")
    exif = make_exif(make="Google", model="Pixel 99")
    save_still(path, enlarged(moving(scene())[6]), xmp=xmp, exif=exif)
    path.write_bytes(path.read_bytes() + box(b"mpvd", clip + trailer))
    return path


def micro_video_jpeg(path: Path) -> Path:
    """A MicroVideo v1 JPEG."""
    clip = motion_clip()
    return google_jpeg(path, clip=clip, xmp=micro_video_xmp(len(clip)))


def sef_trailer(blocks: list[tuple[int, bytes, bytes]]) -> bytes:
    """Samsung's trailer of (type, name, data) blocks."""
    body, entries = b"", []
    for kind, name, data in blocks:
        block = struct.pack("<HHI", 0, kind, len(name)) + name + data
        entries.append((kind, len(body), len(block)))
        body += block
    directory = b"SEFH" + struct.pack("<II", 106, len(entries))
    for kind, start, size in entries:
        directory += struct.pack("<HHII", 0, kind, len(body) - start, size)
    return body + directory + struct.pack("<I", len(directory)) + b"SEFT"


def samsung_jpeg(path: Path, *, timestamp_us: int | None = 750_000) -> Path:
    """A Samsung JPEG: the MP4 lies in the trailer, XMP's length is wrong."""
    clip = motion_clip()
    exif = make_exif(make="samsung", model="SM-S999")
    xmp = google_xmp(length=80, timestamp_us=timestamp_us, camera="GCamera")
    save_still(path, enlarged(moving(scene())[11]), xmp=xmp, exif=exif)
    blocks = [(0x0A01, b"Image_UTC_Data", b"1700000000000"), (0x0A30, b"MotionPhoto_Data", clip)]
    path.write_bytes(path.read_bytes() + sef_trailer(blocks))
    return path


def samsung_heic(path: Path) -> Path:
    """A Samsung HEIC: 'mpvd' runs to the end of the file and holds the trailer too."""
    trailer = sef_trailer([(0x0A31, b"MotionPhoto_Version", b"mpv3")])
    clip = motion_clip()
    exif = make_exif(make="samsung", model="SM-S999")
    xmp = google_xmp(length=104, timestamp_us=750_000, mime="image/heic", camera="GCamera")
    save_still(path, enlarged(moving(scene())[11]), xmp=xmp, exif=exif)
    path.write_bytes(path.read_bytes() + box(b"mpvd", clip + box(b"sefd", trailer)))
    return path


# --- the sample files of real phones ---------------------------------------------------------


def samples_folder() -> Path | None:
    """Where the real phones' files are: LIVEMOMENTS_SAMPLES, or beside the checkout; or None."""
    stated = os.environ.get("LIVEMOMENTS_SAMPLES")
    if stated:
        return Path(stated)
    beside = Path(__file__).resolve().parents[3] / "shared" / "livephotos"
    return beside if beside.is_dir() else None


# --- colour profiles --------------------------------------------------------------------------


def rgb_profile(primaries: str) -> bytes:
    """An ICC v2 matrix profile: these primaries, white D65 adapted to D50, sRGB or Adobe curve."""
    xy = {
        "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
        "p3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
        "adobe": ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060)),
        "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    }[primaries]
    columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in xy]).T
    white = np.array([0.95047, 1.0, 1.08883])
    matrix = BRADFORD @ (columns * np.linalg.solve(columns, white))

    def xyz(values: np.ndarray) -> bytes:
        return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in values))

    steps = np.linspace(0, 1, 1024)
    curve = np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4)
    if primaries == "adobe":
        curve = steps ** (563 / 256)
    table = b"curv" + bytes(4) + struct.pack(">I", 1024)
    table += np.round(curve * 65535).astype(">u2").tobytes()
    text = b"a test profile\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": xyz(np.array([0.9642, 1.0, 0.8249])),
        b"rXYZ": xyz(matrix[:, 0]),
        b"gXYZ": xyz(matrix[:, 1]),
        b"bXYZ": xyz(matrix[:, 2]),
        b"rTRC": table,
        b"gTRC": table,
        b"bTRC": table,
    }
    directory, body = struct.pack(">I", len(tags)), b""
    at = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        directory += name + struct.pack(">II", at + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    header = struct.pack(
        ">I4sI4s4s4s", at + len(body), b"none", 0x02100000, b"mntr", b"RGB ", b"XYZ "
    )
    header += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + directory + body


def profile(primaries: str) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(rgb_profile(primaries)))


BRADFORD = np.array(
    [
        [1.0478112, 0.0228866, -0.0501270],
        [0.0295424, 0.9904844, -0.0170491],
        [-0.0092345, 0.0150436, 0.7521316],
    ]
)

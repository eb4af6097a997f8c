"""Convert colours between a clip and its still, and find out which space each is in.

A frame's Y'CbCr becomes R'G'B' by the matrix and range of its own stream:

    limited range  y = (Y - 16 s) / (219 s)   c = (C - 128 s) / (224 s)     s = 2^(bits - 8)
    full range     y = Y / (2^bits - 1)       c = (C - 128 s) / (2^bits - 1)
    R' = y + 2 (1 - kr) cr    B' = y + 2 (1 - kb) cb    G' = (y - kr R' - kb B') / (1 - kr - kb)

An SDR clip's R'G'B' is taken as shown with the sRGB curve, as viewers do, whichever of the SDR
camera curves (BT.709, BT.601, sRGB) it names. Where clip and still have the same primaries the
numbers stay as they are; otherwise they are made linear, multiplied by
M = XYZ->still . clip->XYZ (white is D65 throughout) and given the still's curve.
"""

import io
from dataclasses import dataclass

import numpy as np

# CIE xy of red, green, blue; H.273 numbers in PRIMARIES_BY_CODE. White is D65.
PRIMARIES = {
    "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    "bt470bg": ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060)),
    "smpte170m": ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    "p3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    "adobe": ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060)),
}
PRIMARIES_BY_CODE = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 7: "smpte170m", 9: "bt2020"}
PRIMARIES_BY_CODE |= {12: "p3"}
WHITE_D65 = (0.3127, 0.3290)
STILL_PRIMARIES = {"sRGB": "bt709", "Display P3": "p3", "Adobe RGB": "adobe"}
ADOBE_GAMMA = 563 / 256
# Bradford's chromatic adaptation, as ICC profiles use it.
BRADFORD_D65_TO_D50 = (
    (1.0478112, 0.0228866, -0.0501270),
    (0.0295424, 0.9904844, -0.0170491),
    (-0.0092345, 0.0150436, 0.7521316),
)

# (kr, kb) by H.273 matrix code; 2 (unspecified) is decided by the caller.
LUMA_WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
LUMA_WEIGHTS |= {4: (0.30, 0.11), 7: (0.212, 0.087), 10: (0.2627, 0.0593)}

TRANSFER_PQ, TRANSFER_HLG = 16, 18
TRANSFERS = {1: "bt709", 2: "unstated", 6: "smpte170m", 13: "srgb", 16: "pq", 18: "hlg"}
MATRICES = {1: "bt709", 2: "unstated", 5: "bt470bg", 6: "smpte170m", 9: "bt2020"}
REFERENCE_WHITE_NITS = 203.0  # BT.2408: where an SDR picture's white lies in an HDR one
HLG_PEAK_NITS = 1000.0


@dataclass(frozen=True, kw_only=True)
class ColourSpace:
    """The colour space of a still, and of every picture made for it."""

    name: str = "sRGB"  # "Display P3", "Adobe RGB" or "unknown"
    icc: bytes | None = None  # the profile's bytes; None: sRGB without a profile


def recognise_profile(icc: bytes | None) -> ColourSpace:
    """Name the colour space of an ICC profile, by its primaries; by its name if it has none."""
    if not icc:
        return ColourSpace()
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        text = ImageCms.getProfileDescription(profile)
        primaries = _profile_primaries(profile)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return ColourSpace(name="unknown", icc=icc)
    if primaries is not None:
        for name, key in STILL_PRIMARIES.items():
            # Within 0.006 none of these is another; profiles round and adapt their colorants.
            if np.abs(primaries - np.array(PRIMARIES[key])).max() < 0.006:
                return ColourSpace(name=name, icc=icc)
    elif "srgb" in text.lower():
        return ColourSpace(name="sRGB", icc=icc)
    return ColourSpace(name="unknown", icc=icc)


def _profile_primaries(profile: object) -> np.ndarray | None:
    """Return the xy of a matrix profile's colorants (3, 2), adapted back to D65; None: not one."""
    core = profile.profile  # type: ignore[attr-defined]
    colorants = [core.red_colorant, core.green_colorant, core.blue_colorant]
    if any(colorant is None for colorant in colorants):
        return None
    xyz = np.array([colorant[0] for colorant in colorants]).T
    adapted = np.linalg.inv(BRADFORD_D65_TO_D50) @ xyz
    return (adapted[:2] / adapted.sum(axis=0)).T


def rgb_to_xyz(primaries: str) -> np.ndarray:
    """Return the 3 x 3 matrix from linear RGB of primaries (a key of PRIMARIES) to XYZ, D65."""
    xy = np.array(PRIMARIES[primaries])
    columns = np.stack([xy[:, 0], xy[:, 1], 1 - xy.sum(axis=1)]) / xy[:, 1]
    white = np.array([WHITE_D65[0], WHITE_D65[1], 1 - sum(WHITE_D65)]) / WHITE_D65[1]
    return columns * np.linalg.solve(columns, white)


def srgb_to_linear(encoded: np.ndarray) -> np.ndarray:
    """Undo sRGB's curve; values in [0, 1]."""
    low = encoded / 12.92
    return np.where(encoded <= 0.04045, low, ((encoded + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """Apply sRGB's curve (also Display P3's) to linear values in [0, 1]."""
    high = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, linear * 12.92, high)


@dataclass(frozen=True, kw_only=True)
class ClipColour:
    """The colours that a clip's numbers mean, in H.273 codes, as its file states them."""

    primaries: int = 2  # 1 BT.709, 2 unstated, 5 and 6 BT.601, 9 BT.2020, 12 Display P3
    transfer: int = 2  # 1 BT.709, 2 unstated, 6 BT.601, 13 sRGB, 16 PQ, 18 HLG
    matrix: int = 2  # 1 BT.709, 2 unstated, 5 and 6 BT.601, 9 BT.2020
    full_range: bool = False  # black is 0 and white 255 (8 bits)

    @property
    def primaries_name(self) -> str:
        """Key of PRIMARIES; unstated primaries are taken as BT.709."""
        return PRIMARIES_BY_CODE.get(self.primaries, "bt709")

    @property
    def is_hdr(self) -> bool:
        """Whether the transfer curve is PQ or HLG."""
        return self.transfer in (TRANSFER_PQ, TRANSFER_HLG)

    def assumed_matrix(self, width: int, height: int) -> int:
        """Return the matrix's code, or what players assume of a picture of this size."""
        if self.matrix in LUMA_WEIGHTS:
            return self.matrix
        # High definition is BT.709, small pictures are BT.601.
        return 1 if width * height >= 1280 * 576 else 6

    def to_dict(self) -> dict[str, str]:
        """Return the facts in words; codes without a name here as numbers."""
        names = {**PRIMARIES_BY_CODE, 2: "unstated"}
        return {
            "range": "full" if self.full_range else "limited",
            "primaries": names.get(self.primaries, str(self.primaries)),
            "transfer": TRANSFERS.get(self.transfer, str(self.transfer)),
            "matrix": MATRICES.get(self.matrix, str(self.matrix)),
        }

    def same_as(self, still: ColourSpace) -> bool:
        """Return whether the clip's numbers already are colours of the still's space."""
        if self.is_hdr or still.name not in STILL_PRIMARIES:
            return not self.is_hdr
        return self.primaries_name == STILL_PRIMARIES[still.name]


def yuv_to_rgb(
    luma: np.ndarray, cb: np.ndarray, cr: np.ndarray, *, bits: int, colour: ClipColour
) -> np.ndarray:
    """Convert Y'CbCr planes (H, W), float32 code values, to R'G'B' (H, W, 3) cut to [0, 1]."""
    kr, kb = LUMA_WEIGHTS[colour.assumed_matrix(luma.shape[1], luma.shape[0])]
    step = 2.0 ** (bits - 8)
    black, luma_span, chroma_span = _spans(bits, colour)
    y = (luma - black) / luma_span
    rgb = np.empty((*luma.shape, 3), np.float32)
    rgb[..., 0] = y + (cr - 128 * step) * (2 * (1 - kr) / chroma_span)
    rgb[..., 2] = y + (cb - 128 * step) * (2 * (1 - kb) / chroma_span)
    rgb[..., 1] = (y - kr * rgb[..., 0] - kb * rgb[..., 2]) / (1 - kr - kb)
    return np.clip(rgb, 0.0, 1.0, out=rgb)


def rgb_change_to_yuv(
    change: np.ndarray, *, bits: int, colour: ClipColour, matrix: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Convert differences of R'G'B', float32 (H, W, 3), to those of Y', Cb, Cr, (H, W) each.

    Args:
        change: Differences of values in [0, 1].
        bits: Of the code values that come out.
        colour: The meaning of those code values.
        matrix: H.273 code, as ClipColour.assumed_matrix returns it for the whole picture.
    """
    kr, kb = LUMA_WEIGHTS[matrix]
    _, luma_span, chroma_span = _spans(bits, colour)
    red, green, blue = (change[..., channel] for channel in range(3))
    y = kr * red + (1 - kr - kb) * green + kb * blue
    cb = (blue - y) * (chroma_span / (2 * (1 - kb)))
    cr = (red - y) * (chroma_span / (2 * (1 - kr)))
    return y * luma_span, cb, cr


def _spans(bits: int, colour: ClipColour) -> tuple[float, float, float]:
    """Return black's code value, and how many lie from there to white and across Cb or Cr."""
    step = 2.0 ** (bits - 8)
    if colour.full_range:
        return 0.0, 2.0**bits - 1, 2.0**bits - 1
    return 16 * step, 219 * step, 224 * step


def to_still_space(rgb: np.ndarray, colour: ClipColour, still: ColourSpace) -> np.ndarray:
    """Convert R'G'B' of a clip, float32 (H, W, 3) in [0, 1], to the still's space, clipped.

    A still of an unknown space takes the clip's numbers as they are, HDR ones as sRGB.
    """
    if colour.same_as(still):
        return rgb
    linear = _hdr_to_linear(rgb, colour) if colour.is_hdr else srgb_to_linear(rgb)
    target = STILL_PRIMARIES.get(still.name, "bt709")
    return _encode(_move(linear, colour.primaries_name, target), still)


def from_still_space(rgb: np.ndarray, colour: ClipColour, still: ColourSpace) -> np.ndarray:
    """Convert R'G'B' of the still's space, float32 (H, W, 3) in [0, 1], back to the clip's.

    What to_still_space clipped does not come back, so this is for differences of pictures. What
    HDR has above the still's white comes back as the white it was rolled off to.
    """
    if colour.same_as(still):
        return rgb
    source = STILL_PRIMARIES.get(still.name, "bt709")
    linear = _move(_decode(rgb, still), source, colour.primaries_name)
    back = _linear_to_hdr(linear, colour) if colour.is_hdr else linear_to_srgb(linear)
    return np.clip(back, 0.0, 1.0).astype(np.float32)


def between_stills(rgb: np.ndarray, source: ColourSpace, target: ColourSpace) -> np.ndarray:
    """Convert R'G'B' of one still's space, float32 in [0, 1], to another's, if both are known."""
    names = {source.name, target.name}
    if len(names) == 1 or not names <= set(STILL_PRIMARIES):
        return rgb
    linear = _decode(rgb, source)
    moved = _move(linear, STILL_PRIMARIES[source.name], STILL_PRIMARIES[target.name])
    return _encode(moved, target)


def _move(linear: np.ndarray, source: str, target: str) -> np.ndarray:
    """Convert linear RGB from some primaries to others, keys of PRIMARIES; clipped to [0, 1]."""
    matrix = np.linalg.solve(rgb_to_xyz(target), rgb_to_xyz(source))
    return np.clip(linear @ matrix.T.astype(np.float32), 0.0, 1.0)


def _encode(linear: np.ndarray, still: ColourSpace) -> np.ndarray:
    """Apply a still's curve to linear RGB; float32."""
    if still.name == "Adobe RGB":
        return (linear ** np.float32(1 / ADOBE_GAMMA)).astype(np.float32)
    return linear_to_srgb(linear).astype(np.float32)


def _decode(rgb: np.ndarray, still: ColourSpace) -> np.ndarray:
    """Make a still's R'G'B' linear."""
    return rgb ** np.float32(ADOBE_GAMMA) if still.name == "Adobe RGB" else srgb_to_linear(rgb)


def _hdr_to_linear(rgb: np.ndarray, colour: ClipColour) -> np.ndarray:
    """Convert PQ or HLG to linear light with SDR white at 1; brighter is rolled off below 1."""
    if colour.transfer == TRANSFER_PQ:
        power = rgb ** np.float32(1 / 78.84375)
        top = np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
        nits = 10000 * top ** np.float32(1 / 0.1593017578125)
    else:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(rgb <= 0.5, rgb**2 / 3, (np.exp((rgb - c) / a) + b) / 12)
        brightness = scene @ np.array([0.2627, 0.6780, 0.0593], np.float32)
        nits = HLG_PEAK_NITS * scene * np.maximum(brightness, 1e-6)[..., None] ** np.float32(0.2)
    linear = nits / REFERENCE_WHITE_NITS
    # Linear up to 0.8 of white, then bent towards 1: highlights keep some shape.
    bent = 0.8 + 0.2 * np.tanh((linear - 0.8) / 0.2)
    return np.where(linear <= 0.8, linear, bent).astype(np.float32)


def _linear_to_hdr(linear: np.ndarray, colour: ClipColour) -> np.ndarray:
    """Undo _hdr_to_linear: linear light with SDR white at 1 to PQ or HLG."""
    bent = np.minimum((linear - 0.8) / 0.2, 0.999)  # tanh comes to 1 in the infinite
    nits = REFERENCE_WHITE_NITS * np.where(
        linear <= 0.8, linear, 0.8 + 0.2 * np.arctanh(np.maximum(bent, 0))
    )
    if colour.transfer == TRANSFER_PQ:
        power = (nits / 10000) ** np.float32(0.1593017578125)
        return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** np.float32(78.84375)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    brightness = np.maximum(nits @ np.array([0.2627, 0.6780, 0.0593], np.float32), 1e-6)
    # Scene light is display light over the scene's brightness to the power of 0.2.
    gain = (brightness / HLG_PEAK_NITS)[..., None] ** np.float32(0.2 / 1.2)
    scene = nits / HLG_PEAK_NITS / gain
    high = a * np.log(np.maximum(12 * scene - b, 1e-6)) + c
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)

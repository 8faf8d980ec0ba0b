"""What a picture file looks like, as pixels: the one place that interprets Pillow's.

Upright as Exif says, on white where it is transparent, in sRGB, with 8 bits a channel.
Of an animation the first frame counts.
"""

import functools
import io

import numpy as np

BACKGROUND = "white"  # shown where a picture is transparent
# Fewer bits than these in a 16-bit file mean that its values do not fill the range:
# 12-bit pixels would be nearly black.
LEAST_BITS = 15
PAGE_KIND, REDUCED_COPY = 254, 1  # TIFF's NewSubfileType
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0  # TIFF's PhotometricInterpretation
COLOR_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK", "LAB": "Lab"}  # of profiles
BEGINNINGS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")


def kind_of(head):
    """The format of a picture by its first 12 bytes, such as `"JPEG"`; "" if none."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":  # videos, too
        brand = head[8:12]
        return "AVIF" if brand[:3] == b"avi" else "HEIC" * (brand in HEIC_BRANDS)
    if head[4:8] == b"JXL ":
        return "JPEG XL"
    return next((k for start, k in BEGINNINGS.items() if head.startswith(start)), "")


def why_unreadable(file, error):
    """In words, what is wrong with a path or bytes that Pillow could not open."""
    from PIL import UnidentifiedImageError

    if not isinstance(error, UnidentifiedImageError):
        return str(error)
    if isinstance(file, bytes):
        head = file[:12]
    else:
        with open(file, "rb") as opened:
            head = opened.read(12)
    if not head:
        return "it is empty"
    kind = kind_of(head)
    if kind:
        return f"it is {kind} that Pillow cannot read: convert it to JPEG or PNG"
    return "Pillow cannot identify its format"


def is_gray(image):
    """Whether a Pillow image has one channel, beside transparency."""
    from PIL import Image

    return Image.getmodebase(image.mode) == "L"


def convert(image, mode):
    """A Pillow image as it is meant to be seen, of mode `"L"` or `"RGB"`.

    Args:
        image: as opened. It is turned in place.
        mode: `"L"` or `"RGB"`.

    Raises:
        ValueError: if its pixels have an unknown range, or it has several pages.
        Exception: of many classes, if Pillow cannot decode it.
    """
    from PIL import ImageOps

    _check_pages(image)
    stored = _stored_as(image)  # known until its pixels are loaded
    profile = image.info.get("icc_profile")
    ImageOps.exif_transpose(image, in_place=True)
    if ";16" in stored and not image.mode.startswith("I"):
        _check_shortened(image)
    if stored in ("L;2", "L;4") and "transparency" in image.info:
        # Pillow scales the pixels to 8 bits, but not the transparent value.
        image.info["transparency"] *= {"L;2": 85, "L;4": 17}[stored]
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = _on_background(image)
    image = _in_srgb(image, profile)
    return image if image.mode == mode else image.convert(mode)


def _check_pages(image):
    """Refuses a TIFF of several pages; smaller copies of the first do not count."""
    if image.format != "TIFF" or image.n_frames == 1:
        return
    pages = 1
    for number in range(1, image.n_frames):
        image.seek(number)
        pages += not image.tag_v2.get(PAGE_KIND, 0) & REDUCED_COPY
    image.seek(0)
    if pages > 1:
        raise ValueError(f"it has {pages} pages: save each as a file of its own")


def _stored_as(image):
    """Pillow's raw mode of the pixels in the file, such as `"RGB;16B"`; "" if none."""
    tiles = getattr(image, "tile", ())
    form = tiles[0][3] if tiles else ""
    return str(form[0] if isinstance(form, tuple) and form else form)


def _check_shortened(image):
    """Of colors with 16 bits Pillow keeps the upper 8."""
    if "transparency" in image.info:
        raise ValueError("it has 16 bits and a transparent color: save it with 8 bits")
    channels = image.getextrema()
    channels = channels if isinstance(channels[0], tuple) else (channels,)
    colors = channels[: len(channels) - image.has_transparency_data]
    _check_bits(max(high for _, high in colors) * 256 + 255)


def _check_bits(highest):
    if 0 < highest < 1 << (LEAST_BITS - 1):
        raise ValueError(
            f"its 16-bit values are at most {highest}, so that their range is unknown: "
            "scale them to their range and save them with 8 bits"
        )


def _eight_bits(image):
    """A gray image of 16 bits as `"L"`, or as `"LA"` if a value is transparent."""
    from PIL import Image

    # Of 32 bits only PGM's are known: Pillow scales these to 16.
    if not image.mode.startswith("I;16") and (image.mode, image.format) != ("I", "PPM"):
        raise ValueError(
            f"its pixels are {'float' if image.mode == 'F' else 'integers of 32 bits'} "
            "of unknown range: scale them to their range and save them with 8 bits"
        )
    values = np.asarray(image)
    _check_bits(int(values.max()))
    pixels = (values >> 8).astype(np.uint8)
    if getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO:
        pixels = 255 - pixels  # which Pillow does for 8 bits alone
    gray = Image.fromarray(pixels)
    if "transparency" in image.info:
        visible = np.uint8(255) * (values != image.info["transparency"])
        gray.putalpha(Image.fromarray(visible))
    return gray


def _on_background(image):
    from PIL import Image

    mode = "L" if is_gray(image) else "RGB"
    image = image.convert("RGBA")
    seen = Image.new(mode, image.size, BACKGROUND)
    seen.paste(image.convert(mode), mask=image.getchannel("A"))
    return seen


def _in_srgb(image, profile):
    """The colors that a profile (ICC) means; without a usable one, those of sRGB."""
    if image.mode not in COLOR_SPACES:
        image = image.convert("L" if is_gray(image) else "RGB")
    if not profile and image.mode != "LAB":
        return image
    transform = _transform(profile, image.mode)
    return image if transform is None else transform.apply(image)


@functools.lru_cache(16)
def _transform(profile, mode):
    """From a profile to sRGB, or None where it changes nothing or does not fit."""
    from PIL import Image, ImageCms

    try:
        source = (
            ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if profile
            else ImageCms.createProfile("LAB")
        )
        space = getattr(source, "profile", source).xcolor_space.strip()
        if space != COLOR_SPACES[mode]:
            return None
        target = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(source, target, mode, "RGB")
    except (OSError, ImageCms.PyCMSError):
        return None
    if mode in ("L", "RGB"):
        levels = np.linspace(0, 255, 9).round().astype(np.uint8)
        cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
        sample = Image.fromarray(cube).convert(mode)
        change = np.asarray(transform.apply(sample), int) - sample.convert("RGB")
        if abs(change).max() <= 2:  # it is sRGB's, whatever its name
            return None
    return transform

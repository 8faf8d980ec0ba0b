"""Pictures as people have them: from phones, from the web, in folders of any system."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from kzoo import data

pytestmark = pytest.mark.one_backend


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("KZOO_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


def png(folder, name="a.png", value=100, size=(4, 4)):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path, format="png")
    return path


def load(folder):
    """The only image of a folder, the same from `load` and from `stream`."""
    images, _ = data.load(folder)
    (image,) = images
    np.testing.assert_array_equal(data.stream(folder, 1)[0], images)
    return image


def pixels(*rows):
    return np.array(rows, np.uint8)


# Upright


def stored(upright, orientation):
    """The pixels that a camera writes with an orientation, for this picture."""
    turned = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.T,
        6: lambda x: np.rot90(x),
        7: lambda x: x[::-1, ::-1].T,
        8: lambda x: np.rot90(x, -1),
    }
    return np.ascontiguousarray(turned[orientation](upright))


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_upright(folder, kind, orientation):
    upright = np.kron(pixels([0, 60, 120], [160, 200, 250]), np.ones((16, 16), "uint8"))
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if kind == "webp" else {}
    image = Image.fromarray(stored(upright, orientation))
    image.save(folder / f"a.{kind}", exif=exif, **lossless)
    image = load(folder)
    assert image.shape[:2] == upright.shape
    np.testing.assert_allclose(image[..., 0], upright, atol=12 * (kind == "jpeg"))


def test_sixteen_bits_are_turned_as_well(folder):
    upright = np.arange(6, dtype=np.uint16).reshape(2, 3) * 13107
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(upright).copy()).save(folder / "a.tif", exif=exif)
    np.testing.assert_array_equal(load(folder)[..., 0], upright >> 8)


# Transparency

HIDDEN, SHOWN = (200, 0, 0), (0, 100, 0)


def rgba(folder):
    image = Image.new("RGBA", (2, 1), (*HIDDEN, 0))
    image.putpixel((1, 0), (*SHOWN, 255))
    image.save(folder / "a.png")


def rgba_webp(folder):
    rgba(folder)
    with Image.open(folder / "a.png") as image:
        image.save(folder / "a.webp", lossless=True, exact=True)
    (folder / "a.png").unlink()


def palette(folder, transparency, name="a.png"):
    image = Image.new("P", (2, 1))
    image.putpalette([*HIDDEN, *SHOWN])
    image.putpixel((1, 0), 1)
    image.save(folder / name, transparency=transparency)


def one_color(folder):
    image = Image.new("RGB", (2, 1), HIDDEN)
    image.putpixel((1, 0), SHOWN)
    image.save(folder / "a.png", transparency=HIDDEN)


@pytest.mark.parametrize(
    "write",
    [
        rgba,
        rgba_webp,
        one_color,
        lambda folder: palette(folder, 0),
        lambda folder: palette(folder, b"\0\xff"),
        lambda folder: palette(folder, 0, "a.gif"),
    ],
)
def test_white_shows_where_a_picture_is_transparent(folder, write):
    write(folder)
    assert load(folder).tolist() == [[[255, 255, 255], list(SHOWN)]]


def test_half_transparent_is_half_white(folder):
    Image.new("RGBA", (1, 1), (0, 100, 200, 51)).save(folder / "a.png")
    assert load(folder).tolist() == [[[204, 224, 244]]]


def chunk(name, content):
    crc = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)


def write_png(path, width, bits, color, row, *chunks):
    """A PNG of one row, of any depth and color type."""
    header = struct.pack(">IIBBBBB", width, 1, bits, color, 0, 0, 0)
    parts = (
        chunk(b"IHDR", header),
        *chunks,
        chunk(b"IDAT", zlib.compress(b"\0" + row)),
        chunk(b"IEND", b""),
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


@pytest.mark.parametrize(
    "bits, row, transparent, seen",
    [
        (1, b"\x40", 0, [255, 255]),
        (2, b"\x60", 1, [255, 170]),
        (4, b"\x5a", 5, [255, 170]),
        (8, b"\x55\xaa", 0x55, [255, 170]),
        (16, b"\x55\x55\xaa\xaa", 0x5555, [255, 170]),
    ],
)
def test_a_transparent_gray_is_white_and_stays_gray(
    folder, bits, row, transparent, seen
):
    chunks = [chunk(b"tRNS", struct.pack(">H", transparent))]
    write_png(folder / "a.png", 2, bits, 0, row, *chunks)
    assert load(folder)[..., 0].tolist() == [seen]
    assert load(folder).shape[-1] == 1


def test_gray_with_alpha_stays_gray(folder):
    Image.new("LA", (1, 1), (100, 51)).save(folder / "a.png")
    assert load(folder).tolist() == [[[224]]]


# Depths


@pytest.mark.parametrize("highest", [1, 255, 1023, 4095, 16383])
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_sixteen_bits_that_are_not_filled_are_named(folder, highest, kind):
    values = np.array([[0, highest]], np.uint16)
    Image.fromarray(values).save(folder / f"a.{kind}")
    with pytest.raises(ValueError, match=rf"a\.{kind} .*at most {highest}"):
        data.load(folder)


@pytest.mark.parametrize("highest", [255, 4095, 16383])
def test_colors_of_sixteen_bits_that_are_not_filled_are_named(folder, highest):
    row = np.array([0, highest, 5], ">u2").tobytes()
    write_png(folder / "a.png", 1, 16, 2, row)
    with pytest.raises(ValueError, match=r"a\.png .*at most"):
        data.load(folder)
    write_png(folder / "a.png", 1, 16, 2, np.array([0, 65535, 257], ">u2").tobytes())
    assert load(folder).tolist() == [[[0, 255, 1]]]


def test_black_has_sixteen_bits_too(folder):
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(folder / "a.png")
    assert not load(folder).any()


def test_a_pgm_says_its_range(folder):
    (folder / "a.pgm").write_bytes(
        b"P5 2 1 4095 " + np.array([0, 4095], ">u2").tobytes()
    )
    assert load(folder).tolist() == [[[0], [255]]]


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_an_unknown_range_is_named(folder, dtype):
    Image.fromarray(np.ones((2, 2), dtype)).save(folder / "a.tif")
    with pytest.raises(ValueError, match=r"a\.tif .*unknown range"):
        data.load(folder)


def test_white_may_be_zero(folder):
    for bits, value in ((8, 250), (16, 64250)):
        image = Image.fromarray(np.full((2, 2), value, f"uint{bits}"))
        image.save(folder / "a.tif")
        content = bytearray((folder / "a.tif").read_bytes())
        photometric = content.index(struct.pack("<HHI", 262, 3, 1)) + 8
        assert content[photometric] == 1  # black is zero
        content[photometric] = 0
        (folder / "a.tif").write_bytes(content)
        assert (load(folder) == 5).all()


def test_one_bit_is_black_and_white(folder):
    Image.fromarray(np.array([[False, True]])).save(folder / "a.png")
    assert load(folder).tolist() == [[[0], [255]]]


# Colors


@pytest.mark.parametrize("kind", ["jpg", "tif"])
def test_inks_become_colors(folder, kind):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(folder / f"a.{kind}", quality=95)
    np.testing.assert_allclose(load(folder)[0, 0], (255, 0, 0), atol=3)


@pytest.mark.parametrize("mode", ["YCbCr", "LAB"])
def test_color_spaces_of_tiff_are_converted(folder, mode):
    red = Image.new("RGB", (4, 4), (200, 50, 50))
    if mode == "LAB":
        spaces = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        red = ImageCms.profileToProfile(red, *spaces, outputMode="LAB")
    else:
        red = red.convert(mode)
    red.save(folder / "a.tif")
    np.testing.assert_allclose(load(folder)[0, 0], (200, 50, 50), atol=3)


def display_p3():
    """The profile of phones: sRGB's curve, here a power of 2.2, and wider colors."""

    def fixed(*values):
        return b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    white = b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249)
    red, green, blue = (
        b"XYZ \0\0\0\0" + fixed(*column)
        for column in (
            (0.51512, 0.2412, -0.00105),
            (0.29198, 0.69225, 0.04189),
            (0.1571, 0.06657, 0.78407),
        )
    )
    curve = b"curv\0\0\0\0\0\0\0\1" + struct.pack(">H", round(2.2 * 256)) + b"\0\0"
    text = b"desc\0\0\0\0\0\0\0\3P3\0" + bytes(79)
    tags = {
        b"desc": text, b"wtpt": white, b"cprt": b"text\0\0\0\0none", b"rXYZ": red,
        b"gXYZ": green, b"bXYZ": blue, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve,
    }  # fmt: skip
    offset, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", offset + len(body), len(content))
        body += content
    header = struct.pack(">I4sI", offset + len(body), b"", 0x02100000)
    header += b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    header += fixed(0.9642, 1, 0.8249)
    return header.ljust(128, b"\0") + table + body


def test_wide_colors_of_phones_become_those_of_srgb(folder):
    image = Image.new("RGB", (2, 1), (150, 100, 100))
    image.putpixel((1, 0), (128, 128, 128))
    image.save(folder / "a.png", icc_profile=display_p3())
    wide, gray = load(folder)[0].astype(int)
    np.testing.assert_allclose(gray, 128, atol=2)
    # By its matrix, and a power of 2.2 for sRGB's curve, too.
    np.testing.assert_allclose(wide, (160, 97, 99), atol=1)


def test_a_profile_of_srgb_or_a_broken_one_leaves_the_pixels(folder):
    values = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype("uint8")
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"no profile"):
        Image.fromarray(values).save(folder / "a.png", icc_profile=profile)
        np.testing.assert_array_equal(load(folder), values)
    Image.fromarray(values[..., 0]).save(folder / "a.png", icc_profile=display_p3())
    np.testing.assert_array_equal(load(folder), values[..., :1])


# Frames


@pytest.mark.parametrize("kind", ["gif", "png", "webp"])
def test_the_first_frame_of_an_animation_counts(folder, kind):
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "lime", "blue")]
    lossless = {"lossless": True} if kind == "webp" else {}
    path = folder / f"a.{kind}"
    frames[0].save(path, save_all=True, append_images=frames[1:], **lossless)
    assert (load(folder) == (255, 0, 0)).all()


def test_a_tiff_of_pages_is_named_and_smaller_copies_are_no_pages(folder):
    pages = [Image.new("L", (4, 4), 10 * i) for i in range(1, 4)]
    path = folder / "a.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    with pytest.raises(ValueError, match=r"a\.tif .*3 pages"):
        data.load(folder)
    copy = Image.new("L", (2, 2))
    copy.encoderinfo = {"tiffinfo": {254: 1}}
    pages[0].save(path, save_all=True, append_images=[copy])
    assert (load(folder) == 10).all()


# Files that cannot be read


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("a.jpg", b"", "empty"),
        ("a.jpg", b"<html>Not found</html>", "identify"),
        ("a.JPG", b"\0\0\0\x18ftypheic" + bytes(20), "HEIC"),
        ("a.HEIC", b"\0\0\0\x18ftypheic" + bytes(20), "HEIC.*pillow-heif"),
        ("a.jxl", b"\xff\x0a", "JPEG XL"),
        ("a.nef", b"II*\0" + bytes(20), "begins as TIFF"),
        ("a.jpg_large", b"\xff\xd8\xff\xe0" + bytes(20), "begins as JPEG"),
    ],
)
def test_a_picture_that_cannot_be_read_is_named(folder, name, content, reason):
    png(folder, "b.png")
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"(?s){name}.*{reason}"):
        data.load(folder)


def test_a_picture_that_is_too_large_is_named(folder, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 7)
    png(folder)
    with pytest.raises(ValueError, match=r"a\.png .*bomb"):
        data.load(folder)


def test_a_link_to_nothing_is_named(folder):
    png(folder)
    (folder / "b.png").symlink_to(folder / "gone.png")
    with pytest.raises(ValueError, match=r"b\.png"):
        data.load(folder)


# Folders


@pytest.mark.parametrize(
    "name",
    ["a.JPG", "a.JPEG", "a.jfif", "a.webp", "a.TIF", "a.png", "a", "日本語 é.png"],
)
def test_names_of_any_kind_are_read_by_content(folder, name):
    png(folder, name)
    assert (load(folder) == 100).all()


SYSTEMS = ("__MACOSX", "@eaDir", ".ipynb_checkpoints", "$RECYCLE.BIN", "lost+found")


@pytest.mark.parametrize("below", ["", "train/"])
def test_what_systems_leave_behind_is_no_class_and_no_image(folder, below):
    for name in ("cat/1.png", "dog/1.png"):
        png(folder, below + name, 100)
        png(folder, f"{below}{name[:4]}._1.png")
        for system in SYSTEMS:
            png(folder, f"{below}{system}/{name}")
            png(folder, f"{below}{name[:4]}{system}/1.png")
        for file in (".DS_Store", "Thumbs.db", "captions.txt", "labels.csv"):
            (folder / below / name[:4] / file).write_bytes(b"BM, a caption")
            (folder / below / file).write_bytes(b"BM, a caption")
    images, labels = data.load(folder)
    assert len(images) == 2 and labels.tolist() == [0, 1]


def test_an_empty_class_is_named(folder):
    for name in ("cat", "dog"):
        png(folder, f"{name}/1.png")
    (folder / "captions").mkdir()
    (folder / "captions" / "1.txt").write_text("a cat")
    for read in (data.load, lambda folder: data.stream(folder, 1)):
        with pytest.raises(ValueError, match="captions"):
            read(folder)


def test_a_class_that_another_split_has_keeps_its_number(folder):
    for name in ("train/bird", "train/cat", "train/dog", "test/dog"):
        png(folder, f"{name}/1.png")
    (folder / "test" / "cat").mkdir()
    assert data.load(folder, "test")[1].tolist() == [2]


def test_links_are_followed_but_not_round_and_round(folder, tmp_path):
    png(tmp_path, "elsewhere/deep/1.png")
    png(folder, "cat/2.png")
    png(folder, "dog/3.png")
    (folder / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    (folder / "cat" / "loop").symlink_to(folder / "cat")
    (folder / "dog" / "loop").symlink_to(folder)
    (folder / "dog" / "4.png").symlink_to(folder / "dog" / "3.png")
    assert data.load(folder)[1].tolist() == [0, 0, 1, 1]


def test_a_file_whose_date_was_set_back_is_decoded_again(folder):
    path = png(folder, value=1)
    times = os.stat(path)
    assert (data.load(folder)[0] == 1).all()
    size = times.st_size
    png(folder, value=2)
    assert os.stat(path).st_size == size
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (data.load(folder)[0] == 2).all()


def test_bytes_of_a_prepared_set_are_read_by_the_same_rules():
    from kzoo.data.decoding import pixels as decoded

    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGBA", (2, 1), (*HIDDEN, 0)).save(file, "png", exif=exif)
    _, image, label = decoded("RGB", None, "here", file.getvalue(), 3)
    assert image.shape == (2, 1, 3) and (image == 255).all() and label == 3

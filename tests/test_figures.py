"""Pictures: images side by side, and the curves of a run."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

import kzoo
from kzoo.figures import draw_history, show

pytestmark = pytest.mark.one_backend

DIGITS, _ = kzoo.data.load("digits", limit=12)
RGB = np.random.default_rng(0).random((3, 5, 7, 3), "float32")


def pixels_of(file):
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"))


def test_a_picture_has_every_pixel_of_its_images(tmp_path):
    picture = show(DIGITS, columns=4)
    picture.save(tmp_path / "grid.png")
    drawn = pixels_of(tmp_path / "grid.png")
    zoom = (drawn.shape[1] - 3 * 2) // (4 * 8)
    cell = 8 * zoom + 2  # with a gap of 2 pixels
    for i, image in enumerate(DIGITS):
        top, left = cell * (i // 4), cell * (i % 4)
        one = drawn[top : top + 8 * zoom : zoom, left : left + 8 * zoom : zoom]
        np.testing.assert_array_equal(one, image.repeat(3, axis=-1))
    np.testing.assert_array_equal(drawn, pixels_of(io.BytesIO(picture._repr_png_())))


def test_floats_colours_and_one_image_are_shown_alike():
    as_bytes = np.uint8(RGB * 255 + 0.5)
    np.testing.assert_array_equal(show(RGB).pixels, show(as_bytes).pixels)
    np.testing.assert_array_equal(show(RGB[0]).pixels, show(RGB[:1]).pixels)
    assert show(RGB[0]).pixels.shape[1] >= 500


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".pdf", ".svg"])
def test_the_suffix_chooses_the_format(suffix, tmp_path):
    show(RGB).save(tmp_path / f"new/grid{suffix}")
    assert [path.name for path in (tmp_path / "new").iterdir()] == [f"grid{suffix}"]


def test_a_picture_that_fails_leaves_the_old_one(tmp_path):
    path = tmp_path / "grid.unknown"
    path.write_text("old")
    with pytest.raises(ValueError):
        show(RGB).save(path)
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 4, 4, 2)), np.full((1, 4, 4, 1), 7.0), np.zeros((0, 4, 4, 1))],
)
def test_what_is_no_image_is_refused(images):
    with pytest.raises(ValueError, match="Received"):
        show(images)


HISTORIES = {
    "losses": {"loss": [3.0, 2.0, 1.5, 1.2], "val_loss": [3.1, 2.5, 2.2, 2.1]},
    "seldom": {"loss": [3.0, 2.0, 1.5, 1.2], "frechet_distance": [9.0, 4.0]},
    "one": {"loss": [1.0], "kl": [float("nan")], "a": [0], "b": [1e9]},
    "none": {},
    "empty": {"loss": []},
}


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
def test_every_history_can_be_drawn(history, tmp_path):
    draw_history(history, tmp_path / "run" / "history.png")
    assert pixels_of(tmp_path / "run" / "history.png").std() > 0


def test_validation_shares_the_panel_of_its_log(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr("kzoo.figures.save_figure", lambda f, path: figures.append(f))
    draw_history({**HISTORIES["losses"], "kl": [1, 2, 3, 4]}, tmp_path / "h.png")
    draw_history(HISTORIES["seldom"], tmp_path / "h.png")
    both, seldom = figures
    assert [panel.get_title() for panel in both.axes] == ["loss", "kl"]
    assert [len(panel.lines) for panel in both.axes] == [2, 1]
    assert list(seldom.axes[1].lines[0].get_xdata()) == [2, 4]


def test_pyplot_has_no_figure():
    show(DIGITS)._repr_png_()
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()

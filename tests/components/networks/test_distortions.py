import numpy as np
import pytest

from tfxray.components.networks.distortion_ranges import Distortions
from tfxray.components.networks.distortions import DRAWS, distort


def image(size=40):
    pixels = np.zeros((1, size, size, 1), np.float32)
    pixels[0, 10:14, 25:29] = 200  # right, above the middle
    return pixels


def place(pixels):
    """The centre of what is bright: row, column."""
    bright = np.asarray(pixels)[0, :, :, 0]
    rows, columns = np.indices(bright.shape)
    return (bright * rows).sum() / bright.sum(), (bright * columns).sum() / bright.sum()


def draws(**values):
    order = ("rotation", "shear", "zoom_x", "zoom_y", "shift_x", "shift_y", "flip", "light",
             "contrast")  # fmt: skip
    assert len(order) == DRAWS
    return np.array([[values.get(name, 0.0) for name in order]], np.float32)


def test_nothing_asked_for_changes_nothing():
    result = distort(image(), np.ones((1, DRAWS), np.float32), Distortions())
    assert np.array_equal(np.asarray(result), image())


def test_draws_of_nought_change_nothing():
    how = Distortions(rotation=30, width_shift=0.2, height_shift=0.2, shear=20, zoom=0.3,
                      brightness=0.2, contrast=0.3)  # fmt: skip
    result = distort(image(), draws(), how)
    assert np.allclose(np.asarray(result), image(), atol=1e-2)


@pytest.mark.parametrize(
    ("how", "drawn", "expected"),
    [
        (Distortions(flip=True), {"flip": -0.3}, (11.5, 12.5)),
        (Distortions(flip=True), {"flip": 0.3}, (11.5, 26.5)),
        (Distortions(width_shift=0.2), {"shift_x": 0.5}, (11.5, 22.5)),  # looks 4 pixels further
        (Distortions(height_shift=0.1), {"shift_y": -1.0}, (15.5, 26.5)),
        (Distortions(zoom=0.5), {"zoom_x": 1.0, "zoom_y": 1.0}, (14.2, 24.2)),  # sees half more
        (Distortions(rotation=90), {"rotation": 1.0}, (12.5, 11.5)),
    ],
)
def test_what_is_bright_goes_where_it_should(how, drawn, expected):
    centre = place(distort(image(), draws(flip=drawn.pop("flip", 1.0), **drawn), how))
    assert centre == pytest.approx(expected, abs=0.2)


def test_grey_levels_change_within_their_range():
    pixels = np.full((1, 8, 8, 1), 240, np.float32)
    lighter = distort(pixels, draws(light=1.0), Distortions(brightness=0.2))
    assert np.asarray(lighter).max() == 255
    spread = np.asarray(distort(image(), draws(contrast=-1.0), Distortions(contrast=0.5)))
    assert spread.std() == pytest.approx(image().std() / 2, rel=1e-3)
    noise = np.ones((1, 8, 8, 1), np.float32)
    noisy = distort(pixels, draws(), Distortions(noise=3), noise)
    assert np.allclose(np.asarray(noisy), 243)

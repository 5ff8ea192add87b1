"""Draws a heat map over an X-ray, for people: the X-ray beside it, and a scale."""

import numpy as np
import plotly.colors
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

# Even steps of lightness, and no red against green: it reads for the colour-blind and in grey
# print. Without its dark half, which would pass for the X-ray's own shadows.
_COLOURS = np.array(
    plotly.colors.sample_colorscale("Inferno", np.linspace(0.4, 1, 256), colortype="tuple")
)
_STRONGEST = 0.6  # how much of the X-ray is covered where the heat is 1
_LINE = 0.5  # the heat that is outlined: in grey print, heat and bone would look alike
_PANEL, _MARGIN, _BAR = 640, 16, 24
_PAPER, _INK = (16, 16, 16), (235, 235, 235)


def lay_heat(pixels: np.ndarray, heat: np.ndarray) -> Image.Image:
    """Lays a heat map over an X-ray.

    Args:
        pixels: Grey, uint8 of shape [height, width].
        heat: In 0..1, of any shape [rows, columns]; stretched over all of the X-ray.

    Returns:
        An RGB image of the X-ray's size: where there is no heat, the X-ray as it is; where there
        is half of the highest, a line.
    """
    height, width = pixels.shape
    small = Image.fromarray(heat.astype(np.float32))
    warm = np.clip(np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)), 0, 1)
    cover = _STRONGEST * warm[..., np.newaxis]
    colours = 255 * _COLOURS[np.round(warm * 255).astype(int)]
    canvas = (1 - cover) * pixels[..., np.newaxis] + cover * colours
    hot = warm >= _LINE
    # White within, black without: to be seen on any grey.
    canvas[hot & ~ndimage.binary_erosion(hot, iterations=2, border_value=1)] = 255
    canvas[~hot & ndimage.binary_dilation(hot, iterations=1)] = 0
    return Image.fromarray(canvas.astype(np.uint8))


def draw_figure(pixels: np.ndarray, heat: np.ndarray, caption: str) -> Image.Image:
    """Draws an X-ray, beside it the same under its heat map, and what the colours mean.

    Args:
        pixels: Grey, uint8 of shape [height, width].
        heat: See `lay_heat`.
        caption: Lines of text.

    Returns:
        An RGB image of the same size for any X-ray.
    """
    scale = _PANEL / max(pixels.shape)
    height, width = pixels.shape
    size = max(1, round(width * scale)), max(1, round(height * scale))
    panel_image = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
    font = ImageFont.load_default(16)
    text = 24 * len(caption.splitlines())
    page = Image.new(
        "RGB", (2 * _PANEL + 4 * _MARGIN + _BAR + 64, _PANEL + 3 * _MARGIN + text), _PAPER
    )
    for place, panel in enumerate((panel_image, lay_heat(np.asarray(panel_image), heat))):
        x = _MARGIN + place * (_PANEL + _MARGIN) + (_PANEL - size[0]) // 2
        page.paste(panel, (x, _MARGIN + (_PANEL - size[1]) // 2))
    x = 2 * _PANEL + 3 * _MARGIN
    # The colours as they look on middle grey: none of them where there is no heat.
    levels = np.linspace(1, 0, _PANEL)[:, np.newaxis]
    page.paste(lay_heat(np.full((_PANEL, _BAR), 128, np.uint8), levels), (x, _MARGIN))
    draw = ImageDraw.Draw(page)
    for level, label, anchor in ((1.0, "most", "lt"), (_LINE, "half", "lm"), (0.0, "none", "lb")):
        at = _MARGIN + (1 - level) * (_PANEL - 1)
        draw.text((x + _BAR + 8, at), label, _INK, font, anchor=anchor)
    draw.multiline_text((_MARGIN, _PANEL + 2 * _MARGIN), caption, _INK, font, spacing=6)
    return page

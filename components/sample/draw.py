"""Draws chest X-rays: a labelled, seeded stand-in for real ones, for the demo and the tests.

Nothing here is a medical simulation. It draws what makes the task hard for a classifier: anatomy
that varies between patients, opacities between obvious and nearly invisible, and sites whose
machines differ in exposure and sharpness.
"""

import csv
import dataclasses
import logging
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from tfxray.components.disk import durable

NORMAL, PNEUMONIA = "NORMAL", "PNEUMONIA"
OPACITIES = ("lobar", "patchy", "interstitial")
MANIFEST = "manifest.csv"
MANIFEST_COLUMNS = ("path", "label", "patient", "age", "sex", "view", "site", "opacity")

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Site:
    """A hospital's machine: how it exposes and how sharply it draws.

    Attributes:
        name: The hospital.
        gain: Contrast, a factor on the density.
        offset: Brightness added, on a scale of 0 to 1.
        blur: Standard deviation of the blur, in pixels at 160 px.
        noise: Standard deviation of the noise, on a scale of 0 to 1.
    """

    name: str
    gain: float
    offset: float
    blur: float
    noise: float


SITES = (
    Site("north", gain=1.0, offset=0.0, blur=0.5, noise=0.035),
    Site("south", gain=0.82, offset=0.09, blur=0.9, noise=0.025),
)


@dataclasses.dataclass(frozen=True)
class Patient:
    """A drawn patient, whose anatomy is the same in each of the patient's images.

    Lengths are in units of half the image's width.
    """

    id: str
    age: int
    sex: str
    site: Site
    width: float
    lung_width: float
    lung_top: float
    diaphragm: float
    heart: float
    rib_phase: float
    rib_pitch: float
    tissue: float


def draw_patient(rng: np.random.Generator, number: int) -> Patient:
    """Draws one patient's traits."""
    return Patient(
        id=f"P{number:05d}",
        age=int(np.clip(rng.normal(52, 20), 1, 95)),
        sex=str(rng.choice(["F", "M"])),
        site=SITES[int(rng.integers(len(SITES)))],
        width=rng.uniform(0.92, 1.04),
        lung_width=rng.uniform(0.33, 0.39),
        lung_top=rng.uniform(-0.82, -0.7),
        diaphragm=rng.uniform(0.5, 0.68),
        heart=rng.uniform(0.3, 0.38),
        rib_phase=rng.uniform(0, 1),
        rib_pitch=rng.uniform(0.155, 0.19),
        tissue=rng.uniform(0.5, 0.62),
    )


@dataclasses.dataclass(frozen=True)
class Findings:
    """What is to be seen in one image, besides the anatomy.

    Attributes:
        opacity: One of OPACITIES, or None.
        effusion: Fluid above one diaphragm.
        cardiomegaly: An enlarged heart.
        nodule: A small round shadow in a lung.
        pneumothorax: Air without lung markings at one apex.
        strength: How dense opacities are; about 0.1 is nearly invisible, 0.4 obvious.
    """

    opacity: str | None = None
    effusion: bool = False
    cardiomegaly: bool = False
    nodule: bool = False
    pneumothorax: bool = False
    strength: float = 0.25


def draw_xray(
    rng: np.random.Generator, patient: Patient, view: str, findings: Findings, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws one image.

    Args:
        rng: Source of everything that differs between two images of a patient.
        patient: Whose anatomy is drawn.
        view: `PA` or `AP`; in AP the heart looks larger and the lungs are less inflated.
        findings: What is to be seen.
        size: Width and height in pixels.

    Returns:
        The image, uint8 of shape [size, size], and the opacity's mask, float32 in 0..1 of the
        same shape (all zero where there is none).
    """
    x, y = _grid(rng, size)
    shallow = 0.08 if view == "AP" else 0.0
    floor = patient.diaphragm - shallow + rng.normal(0, 0.03)
    lungs, air = _lungs(x, y, patient, floor)
    image = _body(x, y, patient)
    image -= 0.34 * air
    image += _markings(rng, x, y, size) * air
    image += _heart(x, y, patient, floor, view, findings)
    image += _bones(x, y, patient) * np.clip(1.25 - y, 0, 1)
    mask = np.zeros_like(image)
    if findings.opacity:
        mask = _opacity(rng, findings.opacity, x, y, lungs, floor, patient, size)
        image += findings.strength * mask
    if findings.effusion:
        image += _effusion(rng, x, y, lungs, floor)
    if findings.nodule:
        image += _nodule(rng, x, y, patient, floor)
    if findings.pneumothorax:
        image -= _pneumothorax(rng, x, y, lungs, patient)
    return _expose(rng, image, patient.site, size), mask


def _grid(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in -1..1, turned, shifted and scaled a little, as patients stand."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    angle = np.float32(np.deg2rad(rng.normal(0, 2.5)))
    scale = np.float32(rng.uniform(0.94, 1.06))
    dx, dy = rng.normal(0, 0.03, 2).astype(np.float32)
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    return cos * x - sin * y + dx, sin * x + cos * y + dy


def _edge(distance: np.ndarray, softness: float) -> np.ndarray:
    """1 inside (distance below 0), 0 outside, with a soft edge."""
    return np.clip(0.5 - distance / (2 * softness), 0, 1)


def _ellipse(
    x: np.ndarray, y: np.ndarray, cx: float, cy: float, rx: float, ry: float
) -> np.ndarray:
    """Squared distance from an ellipse's centre: 1 on the ellipse."""
    return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2


def _body(x: np.ndarray, y: np.ndarray, patient: Patient) -> np.ndarray:
    half = patient.width * np.clip(0.76 + 0.4 * (y + 1), 0.6, 1.0)
    image = patient.tissue * _edge(np.abs(x) - half, 0.05)
    image += 0.05 * np.clip(y, -1, 1)
    if patient.sex == "F" and patient.age > 14:
        for side in (-1, 1):
            image += 0.06 * _edge(_ellipse(x, y, side * 0.46, 0.3, 0.3, 0.28) - 1, 0.3)
    return image


def _lungs(
    x: np.ndarray, y: np.ndarray, patient: Patient, floor: float
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Soft masks of the right (image left) and the left lung, and of both."""
    middle = (patient.lung_top + floor) / 2
    height = (floor - patient.lung_top) / 2
    masks = []
    for side in (-1, 1):
        cx = side * (patient.lung_width + 0.11)
        taper = patient.lung_width * (0.86 + 0.22 * np.clip((y - middle) / height, -1, 1))
        inside = ((x - cx) / taper) ** 2 + (np.abs(y - middle) / (height * 1.06)) ** 3
        dome = floor - 0.05 * side + 0.5 * (x - cx * 0.9) ** 2  # the right dome stands higher
        masks.append(_edge(inside - 1, 0.12) * _edge(y - dome + 0.08, 0.03))
    return (masks[0], masks[1]), np.maximum(masks[0], masks[1])


def _markings(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, size: int) -> np.ndarray:
    """Vessels: texture that is stronger near the hilum."""
    near = np.exp(-_ellipse(np.abs(x), y, 0.18, -0.05, 0.28, 0.4))
    fine, coarse = _texture(rng, size, size // 5), _texture(rng, size, size // 14)
    strength = rng.uniform(0.7, 1.3)
    return strength * ((0.03 + 0.06 * near) * fine + 0.02 * coarse + 0.10 * near)


def _texture(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Smooth noise of unit variance with about `cells` cells on a side."""
    field = rng.standard_normal((max(cells, 3), max(cells, 3)), dtype=np.float32)
    return np.asarray(Image.fromarray(field).resize((size, size), Image.Resampling.BICUBIC))


def _heart(
    x: np.ndarray, y: np.ndarray, patient: Patient, floor: float, view: str, findings: Findings
) -> np.ndarray:
    radius = patient.heart * (1.12 if view == "AP" else 1.0)
    radius *= 1.4 if findings.cardiomegaly else 1.0
    heart = _edge(_ellipse(x + 0.35 * y, y, 0.3, floor - 0.3, radius, 0.34) - 1, 0.14)
    vessels = _edge(_ellipse(x, y, 0.03, -0.25, 0.13, 0.5) - 1, 0.3)
    return 0.25 * np.maximum(heart, 0.6 * vessels)


def _bones(x: np.ndarray, y: np.ndarray, patient: Patient) -> np.ndarray:
    spine = _edge(np.abs(x) - 0.075, 0.03) * (0.11 + 0.035 * np.cos(y * 42))
    # A rib falls from the spine to the side and comes back lower in front.
    side = np.abs(x)
    fall = y + 0.2 * side - 0.55 * side**2
    wave = np.cos(2 * np.pi * (fall / patient.rib_pitch + patient.rib_phase))
    cage = _edge(side - 0.82, 0.08) * (side > 0.07) * _edge(np.abs(y + 0.1) - 0.7, 0.1)
    ribs = 0.13 * np.clip(wave - 0.3, 0, 1) * cage
    clavicle = _edge(np.abs(y + 0.66 + 0.16 * side) - 0.03, 0.015) * _edge(side - 0.72, 0.05)
    return spine + ribs + 0.1 * clavicle


def _opacity(
    rng: np.random.Generator,
    kind: str,
    x: np.ndarray,
    y: np.ndarray,
    lungs: tuple[np.ndarray, np.ndarray],
    floor: float,
    patient: Patient,
    size: int,
) -> np.ndarray:
    """The mask of one opacity, 0..1, within the lungs."""
    which = int(rng.integers(2))
    side, lung = (-1, 1)[which], lungs[which]
    cx = side * (patient.lung_width + 0.11)
    top, height = patient.lung_top, floor - patient.lung_top
    cloud = np.clip(1 + 0.3 * _texture(rng, size, size // 10), 0.3, 1.6)
    if kind == "lobar":
        third = rng.integers(3)  # a lobe: upper, middle, lower
        cy = top + height * (0.22 + 0.3 * third)
        shape = _edge(
            _ellipse(x, y, cx, cy, rng.uniform(0.2, 0.36), rng.uniform(0.15, 0.26)) - 1, 0.35
        )
        return shape * cloud * lung
    if kind == "patchy":
        shape = np.zeros_like(x)
        for _ in range(rng.integers(2, 6)):
            px = cx + rng.uniform(-0.22, 0.22)
            py = top + height * rng.uniform(0.2, 0.9)
            radius = rng.uniform(0.06, 0.15)
            shape += np.exp(-_ellipse(x, y, px, py, radius, radius * rng.uniform(0.7, 1.3)))
        return np.clip(shape, 0, 1) * cloud * (lung if rng.random() < 0.6 else np.maximum(*lungs))
    net = np.abs(_texture(rng, size, size // 4)) + 0.5 * np.abs(_texture(rng, size, size // 7))
    low = np.clip((y - top) / height + 0.25, 0, 1)
    return 0.8 * net * low * np.maximum(*lungs)


def _effusion(
    rng: np.random.Generator,
    x: np.ndarray,
    y: np.ndarray,
    lungs: tuple[np.ndarray, np.ndarray],
    floor: float,
) -> np.ndarray:
    which = int(rng.integers(2))
    level = floor - rng.uniform(0.12, 0.35) - 0.35 * np.clip(np.abs(x) - 0.3, 0, 1)
    return rng.uniform(0.2, 0.32) * lungs[which] * _edge(level - y, 0.04)


def _nodule(
    rng: np.random.Generator, x: np.ndarray, y: np.ndarray, patient: Patient, floor: float
) -> np.ndarray:
    side = rng.choice((-1, 1))
    cx = side * (patient.lung_width + 0.11 + rng.uniform(-0.14, 0.14))
    cy = patient.lung_top + (floor - patient.lung_top) * rng.uniform(0.25, 0.8)
    radius = rng.uniform(0.035, 0.065)
    return rng.uniform(0.14, 0.28) * _edge(_ellipse(x, y, cx, cy, radius, radius) - 1, 0.3)


def _pneumothorax(
    rng: np.random.Generator,
    x: np.ndarray,
    y: np.ndarray,
    lungs: tuple[np.ndarray, np.ndarray],
    patient: Patient,
) -> np.ndarray:
    which = int(rng.integers(2))
    cx = (-1, 1)[which] * (patient.lung_width + 0.05)
    collapsed_lung = _ellipse(x, y, cx, 0.05, patient.lung_width * 0.9, rng.uniform(0.5, 0.62))
    return 0.12 * lungs[which] * (1 - _edge(collapsed_lung - 1, 0.06))


def _expose(rng: np.random.Generator, image: np.ndarray, site: Site, size: int) -> np.ndarray:
    """What the machine makes of the density: exposure, blur, noise, 8 bits."""
    gain = site.gain * rng.uniform(0.88, 1.12)
    offset = site.offset + rng.normal(0, 0.035)
    image = ndimage.gaussian_filter(image, site.blur * size / 160, truncate=2.5)
    image = gain * image + offset
    image += site.noise * rng.standard_normal(image.shape, dtype=np.float32)
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)


def draw_findings(rng: np.random.Generator, label: str) -> Findings:
    """The findings of one image of a class; strengths reach down to nearly invisible."""
    return Findings(
        opacity=str(rng.choice(OPACITIES)) if label == PNEUMONIA else None,
        cardiomegaly=bool(rng.random() < 0.08),
        nodule=bool(rng.random() < 0.08),
        strength=float(np.clip(rng.lognormal(-1.75, 0.5), 0.04, 0.5)),
    )


def write_sample(out: Path, images: int = 1200, size: int = 160, seed: int = 0) -> int:
    """Draws a labelled set into class folders with a manifest.

    Patients have one to four images each, all of one class; every second patient is healthy.

    Args:
        out: Folder for `NORMAL/`, `PNEUMONIA/` and `manifest.csv`; made if missing.
        images: How many to draw.
        size: Width and height in pixels.
        seed: The same seed draws the same images.

    Returns:
        The number of patients drawn.
    """
    rng = np.random.default_rng(seed)
    for label in (NORMAL, PNEUMONIA):
        (out / label).mkdir(parents=True, exist_ok=True)
    rows: list[tuple[object, ...]] = []
    patients = 0
    while len(rows) < images:
        patient = draw_patient(rng, patients)
        label = PNEUMONIA if patients % 2 else NORMAL
        view = str(rng.choice(["PA", "AP"], p=[0.7, 0.3]))
        for number in range(min(int(rng.integers(1, 5)), images - len(rows))):
            findings = draw_findings(rng, label)
            pixels, _ = draw_xray(rng, patient, view, findings, size)
            path = f"{label}/{patient.id}_{number}.png"
            Image.fromarray(pixels).save(out / path, compress_level=1)
            rows.append(
                (
                    path,
                    label,
                    patient.id,
                    patient.age,
                    patient.sex,
                    view,
                    patient.site.name,
                    findings.opacity or "",
                )
            )
        patients += 1
    durable.sync_tree(out)
    with durable.fresh_file(out / MANIFEST) as fresh, fresh.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(MANIFEST_COLUMNS)
        writer.writerows(rows)
    return patients

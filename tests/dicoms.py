"""Makes DICOM files for tests."""

import io

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    generate_uid,
)

NAME = "Doe-Jane-Q"


def deep(shown, bits=12):
    """Grey levels 0..255 at a detector's depth."""
    return np.clip(shown / 255, 0, 1) * (2**bits - 1)


def dicom(shown, bits=12, signed=False, voi_lut=False, syntax=None, pixels=True, **tags):
    """A DICOM file whose pixels show grey levels 0..255."""
    return encode(deep(shown, bits), bits, signed, voi_lut, syntax, pixels, **tags)


def encode(values, bits=12, signed=False, voi_lut=False, syntax=None, pixels=True, **tags):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.PatientName, dataset.PatientID = NAME, "HOSP-4711"
    dataset.PatientBirthDate, dataset.InstitutionName = "19610203", "St. Nowhere"
    dataset.PatientAge, dataset.PatientSex, dataset.ViewPosition = "061Y", "F", "PA"
    block = dataset.private_block(0x0011, "MAKER", create=True)
    block.add_new(0x01, "LO", "PRIVATE-SECRET")
    dataset.Rows, dataset.Columns = values.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored = (8 if bits == 8 else 16), bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, int(signed)
    if voi_lut:
        lut = Dataset()
        lut.LUTDescriptor = [2**bits, 0, 16]
        lut.LUTData = np.linspace(65535, 0, 2**bits).astype(np.uint16).tobytes()
        lut["LUTData"].VR = "OW"
        dataset.VOILUTSequence = [lut]
    if pixels:
        kind = {(8, False): "u1", (8, True): "i1"}.get((bits, signed), "<i2" if signed else "<u2")
        shift = 2 ** (bits - 1) if signed else 0
        dataset.PixelData = (np.rint(values) - shift).astype(kind).tobytes()
        dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    if syntax in (JPEG2000Lossless, JPEGBaseline8Bit):
        dataset.PixelData = encapsulate([_pillow(values, syntax)])
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = syntax
    elif syntax:
        dataset.compress(syntax)
    for name, value in tags.items():
        setattr(dataset, name, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def coloured(top, kind, **tags):
    """An RGB file of 32 x 64 pixels: red falls from `top`, green rises to it, blue is half."""
    share = np.tile(np.linspace(0, 1, 64), (32, 1))
    channels = np.rint(np.dstack([1 - share, share, np.full_like(share, 0.5)]) * top)
    tags = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", **tags}
    if tags.get("PlanarConfiguration"):
        channels = np.moveaxis(channels, -1, 0)
    bits = 8 if kind == "u1" else 16
    return encode(share, bits=bits, PixelData=channels.astype(kind).tobytes(), **tags)


def _pillow(values, syntax):
    buffer = io.BytesIO()
    if syntax == JPEGBaseline8Bit:
        Image.fromarray(np.rint(values).astype("u1")).save(buffer, "JPEG", quality=98)
    else:
        image = Image.fromarray(np.rint(values).astype("<u2"))
        image.save(buffer, "JPEG2000", irreversible=False, no_jp2=True)
    return buffer.getvalue() + b"\0" * (buffer.tell() % 2)


def write(path, values, number):
    """Writes a file of the patient `number // 2`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(values, PatientID=f"HOSP-4711-{number // 2}"))

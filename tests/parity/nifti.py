"""Writes tiny NIfTI files and what nibabel reads from them, for the tests of the NIfTI reader.

Usage: python nifti.py OUT_DIR        (needs nibabel and numpy; fills OUT_DIR/nifti)
"""

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

out = Path(sys.argv[1]) / "nifti"
out.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(0)

angle = np.deg2rad([10.0, -20.0, 30.0])
rx = np.array([[1, 0, 0], [0, np.cos(angle[0]), -np.sin(angle[0])], [0, np.sin(angle[0]), np.cos(angle[0])]])
rz = np.array([[np.cos(angle[2]), -np.sin(angle[2]), 0], [np.sin(angle[2]), np.cos(angle[2]), 0], [0, 0, 1]])
oblique = np.eye(4)
oblique[:3, :3] = rx @ rz @ np.diag([0.8, 0.9, -2.5])
oblique[:3, 3] = [-10.5, 20.25, 30.0]
sheared = oblique.copy()
sheared[0, 1] += 0.2


def save(name, shape, dtype, affine=oblique, endian="<", forms=("sform", "qform"), slope=None, inter=0.0, version=1):
    info = np.iinfo(dtype) if np.issubdtype(dtype, np.integer) else None
    low, high = (max(info.min, -1000), min(info.max, 3000)) if info else (-5, 5)
    values = rng.uniform(low, high, shape).astype(dtype)
    header = {1: nib.Nifti1Header, 2: nib.Nifti2Header}[version](endianness=endian)
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
    header.set_zooms(tuple(np.sqrt((affine[:3, :3] ** 2).sum(0))) + (1.0,) * (len(shape) - 3))
    if "sform" in forms:
        header.set_sform(affine, code=1)
    if "qform" in forms:
        header.set_qform(affine, code=1)
    header["magic"] = header.single_magic
    header["vox_offset"] = header.single_vox_offset
    header["scl_slope"] = np.nan if slope is None else slope
    header["scl_inter"] = np.nan if slope is None else inter
    raw = header.binaryblock + b"\0" * 4 + values.astype(np.dtype(dtype).newbyteorder(endian)).tobytes(order="F")
    path = out / name
    if name.endswith(".gz"):
        import gzip

        path.write_bytes(gzip.compress(raw, mtime=0))
    else:
        path.write_bytes(raw)
    image = nib.load(path)
    data = np.asarray(image.dataobj, dtype=np.float64).astype(np.float32)
    if data.ndim == 5:
        data = data[:, :, :, 0]
    data = data.reshape(data.shape + (1,) * (4 - data.ndim))
    return {
        "file": name,
        "affine": image.affine[:3].tolist(),
        "orientation": "".join(nib.aff2axcodes(image.affine)),
        "shape": list(data.shape[:3]),
        "channels": data.shape[3],
        "values": [float(v) for v in np.moveaxis(data, 3, 0).ravel()],
    }


cases = [save(f"{np.dtype(t).name}_{'le' if e == '<' else 'be'}.nii", (3, 4, 2), t, endian=e)
         for t in (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64, np.float32, np.float64)
         for e in "<>"]
cases += [
    save("scaled.nii.gz", (3, 4, 17), np.int16, slope=0.5, inter=-1024.0),
    save("slope_0.nii", (2, 3, 4), np.int16, slope=0.0, inter=7.0),
    save("qform_only.nii", (2, 3, 4), np.uint8, forms=("qform",)),
    save("sform_only.nii", (2, 3, 4), np.uint8, affine=sheared, forms=("sform",)),
    save("no_form.nii", (2, 3, 4), np.uint8, affine=np.diag([1.5, 2.0, 3.0, 1.0]), forms=()),
    save("channels.nii.gz", (2, 3, 18, 2), np.float32),
    save("vector.nii", (2, 3, 4, 1, 3), np.float32),
    save("nifti_2_le.nii", (2, 3, 4), np.int16, slope=0.5, inter=-3.0, version=2),
    save("nifti_2_be.nii.gz", (2, 3, 4, 2), np.float64, endian=">", version=2),
    save("nifti_2_qform_only.nii", (2, 3, 4), np.uint8, forms=("qform",), version=2),
    save("nifti_2_no_form.nii", (2, 3, 4), np.int64, affine=np.diag([1.5, 2.0, 3.0, 1.0]), forms=(), version=2),
]
(out / "expected.json").write_text(json.dumps(cases) + "\n")

"""Every npz and npy that NumPy writes reads here as there, and what is written here reads in NumPy.

numpy_npz.py NPZ_DUMP (the program of npz_dump.cc)
"""

import io
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib

import numpy as np

# The nearest element type that holds every value (data/npy.h).
READ_AS = {"float16": "float32", "float32": "float32", "float64": "float64", "bool": "uint8",
           "uint8": "uint8", "int8": "int32", "int16": "int32", "uint16": "int32",
           "int32": "int32", "uint32": "int64", "int64": "int64", "uint64": "int64"}
SHAPES = [(), (1,), (0,), (0, 3), (7,), (3, 5), (2, 3, 4), (1, 3, 1, 5), (2, 1, 2, 1, 2, 1, 2, 3)]


def arrays():
    """Every type, shape, byte order and memory order, under names with slashes and odd letters."""
    random = np.random.RandomState(3)
    made = {}
    for dtype in READ_AS:
        for order in "<>":
            for index, shape in enumerate(SHAPES):
                values = random.randint(0, 100, shape)
                array = np.asarray(values).astype(np.dtype(dtype).newbyteorder(order))
                name = "predictor/%s/%s%d" % (dtype, "le" if order == "<" else "be", index)
                made[name] = array
                if array.ndim > 1:
                    made[name + "/fortran"] = np.asfortranarray(array)
    floats = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45, 3.4e38], np.float32)
    made.update({"special": floats, "half": np.array([np.nan, np.inf, -0.0, 6e-8, 65504], np.float16),
                 "größe": floats,
                 "strided": np.arange(20.0)[::3], "name with spaces": np.arange(3)})
    return made


def described(array):
    """What npz_dump prints of an array that NumPy has read."""
    as_read = array.astype("<" + np.dtype(READ_AS[array.dtype.name]).str[1:], order="C")
    return [as_read.dtype.name, str(array.shape), str(zlib.crc32(as_read.tobytes()))]


def dump(program, path, *copy):
    done = subprocess.run([program, path, *copy], capture_output=True, check=False)
    lines = done.stdout.decode().splitlines()
    return done.returncode, {line.split("\t")[0]: line.split("\t")[1:] for line in lines}


def check_archive(program, path, written):
    code, read = dump(program, path, path + ".copy.npz")
    assert code == 0 and read.keys() == written.keys(), (path, code, read.keys() ^ written.keys())
    for name, array in written.items():
        assert read[name] == described(array), (path, name, read[name], described(array))
    with np.load(path + ".copy.npz") as copy:
        assert sorted(copy.files) == sorted(written), "the copy lost arrays"
        for name, array in written.items():
            assert copy[name].dtype.name == READ_AS[array.dtype.name]
            np.testing.assert_array_equal(copy[name], array.astype(copy[name].dtype))
    assert zipfile.ZipFile(path + ".copy.npz").testzip() is None


def npy_bytes(array, version):
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=version)
    return out.getvalue()


def check_versions(program, folder):
    """npy format 1.0, 2.0 and 3.0, alone and in archives made by zipfile at every level."""
    array = np.arange(1000, dtype=np.float32).reshape(10, 100)
    for version in [(1, 0), (2, 0), (3, 0)]:
        path = os.path.join(folder, "v%d.npy" % version[0])
        with open(path, "wb") as out:
            out.write(npy_bytes(array, version))
        assert dump(program, path)[1] == {"": described(array)}, version
    for level in range(10):
        path = os.path.join(folder, "level%d.npz" % level)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
            with archive.open("a.npy", "w", force_zip64=bool(level % 2)) as member:
                member.write(npy_bytes(array, (1, 0)))
        assert dump(program, path)[1] == {"a": described(array)}, level


def check_refusals(program, folder):
    """What NumPy reads only with allow_pickle, or not at all, is an error and never a crash."""
    path = os.path.join(folder, "objects.npz")
    np.savez(path, good=np.arange(3), bad=np.array(None, object), text=np.array("text"),
             complex=np.zeros(2, complex))
    code, read = dump(program, path)
    assert code == 0 and read["good"] == described(np.arange(3))
    assert all(read[name][0] == "error" for name in ("bad", "text", "complex")), read


def main():
    program = sys.argv[1]
    written = arrays()
    with tempfile.TemporaryDirectory() as folder:
        for save in (np.savez, np.savez_compressed):
            path = os.path.join(folder, save.__name__ + ".npz")
            save(path, **written)
            check_archive(program, path, written)
        check_versions(program, folder)
        check_refusals(program, folder)
    print("NumPy %s: %d arrays agree in both directions" % (np.__version__, len(written)))


main()

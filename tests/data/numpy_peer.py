"""NumPy's side of the comparisons in npy_peer_test.cc.

write DIR            writes one file per variant of the formats, and DIR/expected with a line
                     "<file> <digest>" for each
digest FILE OUT      FILE holds npy or npz files, each behind its length (u32); writes a line each
                     into OUT: the digest of what NumPy reads, or "refused"
"""
import io
import struct
import sys
import warnings
import zipfile
import zlib

import numpy as np

# What Lockstep turns each dtype into.
NEAREST = {'f2': 'f4', 'i1': 'i4', 'i2': 'i4', 'u2': 'i4', 'u4': 'i8', 'u8': 'i8', 'b1': 'u1'}
NAMES = {'f4': 'float32', 'f8': 'float64', 'i4': 'int32', 'i8': 'int64', 'u1': 'uint8'}


def digest_array(array):
    kind = array.dtype.kind + str(array.dtype.itemsize)
    kind = NEAREST.get(kind, kind)
    # Bits, not values: NaNs keep theirs.
    little = array.astype(array.dtype.newbyteorder('<'))
    converted = np.array(little.astype(kind), order='C', copy=False)
    shape = '(' + ', '.join(map(str, array.shape)) + (',)' if array.ndim == 1 else ')')
    return NAMES[kind] + shape + str(zlib.crc32(converted.tobytes(order='C')))


def digest(data):
    try:
        loaded = np.load(io.BytesIO(data), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return digest_array(loaded)
        return ' '.join(name + '=' + digest_array(loaded[name]) for name in sorted(loaded.files))
    except Exception:
        return 'refused'


def npy_variants():
    rng = np.random.default_rng(3)
    for kind in ('f2', 'f4', 'f8', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'b1'):
        raw = rng.integers(0, 256, size=2 * 3 * 5 * 8, dtype=np.uint8).tobytes()
        if kind == 'b1':
            base = rng.integers(0, 2, size=30).astype('b1')
        elif kind == 'u8':
            base = rng.integers(0, 2**63, size=30, dtype=np.uint64)
        elif kind[0] == 'f':  # converting a NaN may change its bits
            base = (rng.normal(size=30) * 10.0**rng.integers(-8, 5, size=30)).astype(kind)
        else:
            base = np.frombuffer(raw, kind)[:30]
        for order in '<>':
            for fortran in (False, True):
                for shape in ((2, 3, 5), (30,), (5, 6), (1, 30), (30, 1)):
                    array = base.astype(np.dtype(kind).newbyteorder(order)).reshape(shape)
                    array = np.asfortranarray(array) if fortran else array
                    yield 'npy_%s_%s_%d_%s' % (kind, 'lb'[order == '>'], fortran,
                                               'x'.join(map(str, shape))), array
    yield 'npy_scalar', np.float32(3.5)
    yield 'npy_empty', np.zeros((0, 7), 'i8')
    yield 'npy_empty_inside', np.zeros((3, 0, 2), 'f4', order='F')
    halves = np.arange(65536, dtype=np.uint16).view('f2')
    yield 'npy_halves', halves[~np.isnan(halves)]
    yield 'npy_pictures', rng.integers(0, 256, size=(7, 3, 9, 11)).astype('u1')


class Unseekable(io.RawIOBase):
    """Makes zipfile write data descriptors."""

    def __init__(self, file):
        self.file = file

    def writable(self):
        return True

    def write(self, data):
        return self.file.write(data)


def write_npz(path, style):
    rng = np.random.default_rng(4)
    arrays = {'predictor/l1/W': rng.normal(size=(13, 7)).astype('f4'),
              'predictor/l1/b': np.zeros(13, 'f4'), 'N': np.array(5), 'flag': np.array(True),
              'data': rng.integers(0, 9, size=(50, 3, 4, 4)).astype('u1')}
    if style == 'stored':
        np.savez(path, **arrays)
    elif style == 'deflated':
        np.savez_compressed(path, **arrays)
    elif style == 'streamed':
        with open(path, 'wb') as file:
            np.savez_compressed(Unseekable(file), **arrays)
    elif style == 'commented':
        np.savez(path, **arrays)
        with zipfile.ZipFile(path, 'a') as archive:
            archive.comment = b'a comment of some length'
    elif style == 'narrow':  # without zip64, by another writer
        with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
            for name, array in arrays.items():
                buffer = io.BytesIO()
                np.save(buffer, array)
                archive.writestr(name + '.npy', buffer.getvalue())


def write(directory):
    with open(directory + '/expected', 'w') as expected:
        for name, array in npy_variants():
            for version in ((1, 0), (2, 0), (3, 0)):
                path = '%s/%s_v%d.npy' % (directory, name, version[0])
                with open(path, 'wb') as file:
                    np.lib.format.write_array(file, np.asanyarray(array), version)
                expected.write(path + ' ' + digest_array(np.asanyarray(array)) + '\n')
        for style in ('stored', 'deflated', 'streamed', 'commented', 'narrow'):
            path = '%s/%s.npz' % (directory, style)
            write_npz(path, style)
            with open(path, 'rb') as file:
                expected.write(path + ' ' + digest(file.read()) + '\n')


def digest_all(source, target):
    with open(source, 'rb') as file, open(target, 'w') as out:
        while True:
            length = file.read(4)
            if not length:
                break
            out.write(digest(file.read(struct.unpack('<I', length)[0])) + '\n')


warnings.simplefilter('ignore')
if sys.argv[1] == 'write':
    write(sys.argv[2])
else:
    digest_all(sys.argv[2], sys.argv[3])

"""XXH3-128 without a library, at some 15 MB/s: shards carry it, and Spark's workers
need have nothing installed. Source: Collet, xxHash 0.8, XXH3_128bits with seed 0."""

import struct
from operator import mul, xor

_64 = (1 << 64) - 1
_P32_1, _P32_2, _P32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
_P64_1, _P64_2, _P64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P64_4, _P64_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5

_SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")
_STRIPE = 64
_BLOCK = 1024  # Stripes until the secret is used up.


def _secret64(at):
    return int.from_bytes(_SECRET[at:at + 8], "little")


# Of each lane, for each stripe of a block: the secret's low and high halves.
_LOW = [[_secret64(8 * (stripe + lane)) & 0xFFFFFFFF for stripe in range(16)] for lane in range(8)]
_HIGH = [[_secret64(8 * (stripe + lane)) >> 32 for stripe in range(16)] for lane in range(8)]
_SCRAMBLE = [_secret64(128 + 8 * lane) for lane in range(8)]
_WORDS = struct.Struct("<256I")


def _fold(a, b):
    product = a * b
    return (product & _64) ^ (product >> 64)


def _avalanche(x):
    x ^= x >> 37
    x = x * 0x165667919E3779F9 & _64
    return x ^ x >> 32


def _accumulate(lanes, words, low_keys, high_keys):
    """Adds stripes of 16 words of 32 bits to the eight lanes."""
    for lane in range(8):
        low, high = words[2 * lane::16], words[2 * lane + 1::16]
        lanes[lane ^ 1] += sum(low) + (sum(high) << 32)
        lanes[lane] += sum(map(mul, map(xor, low, low_keys[lane]), map(xor, high, high_keys[lane])))


class Xxh3:
    def __init__(self, data=b""):
        self.lanes = [_P32_3, _P64_1, _P64_2, _P64_3, _P64_4, _P32_2, _P64_5, _P32_1]
        self.size = 0
        self.tail = b""    # Not yet taken; never empty once there was something.
        self.before = b""  # The 64 bytes in front of it.
        self.add(data)

    def add(self, data):
        self.size += len(data)
        data = self.tail + data if self.tail else bytes(data)
        at = 0
        while len(data) - at > _BLOCK:
            lanes = self.lanes
            _accumulate(lanes, _WORDS.unpack_from(data, at), _LOW, _HIGH)
            for i in range(8):
                lane = lanes[i] & _64
                lanes[i] = (lane ^ lane >> 47 ^ _SCRAMBLE[i]) * _P32_1 & _64
            at += _BLOCK
        if at:
            self.before = data[at - _STRIPE:at]
        self.tail = data[at:]

    def hex(self):
        low, high = self._long() if self.size > 240 else _short(self.tail)
        return f"{high:016x}{low:016x}"

    def _long(self):
        lanes = list(self.lanes)
        stripes = (len(self.tail) - 1) // _STRIPE
        for i in range(stripes):
            words = struct.unpack_from("<16I", self.tail, i * _STRIPE)
            _accumulate(lanes, words, [keys[i:i + 1] for keys in _LOW],
                        [keys[i:i + 1] for keys in _HIGH])
        last = struct.unpack("<16I", (self.before + self.tail)[-_STRIPE:])
        keys = [_secret64(121 + 8 * lane) for lane in range(8)]
        _accumulate(lanes, last, [[key & 0xFFFFFFFF] for key in keys], [[key >> 32] for key in keys])
        lanes = [lane & _64 for lane in lanes]

        def merge(at, start):
            for i in range(0, 8, 2):
                start += _fold(lanes[i] ^ _secret64(at + 8 * i), lanes[i + 1] ^ _secret64(at + 8 * i + 8))
            return _avalanche(start & _64)
        return (merge(11, self.size * _P64_1 & _64),
                merge(117, ~(self.size * _P64_2) & _64))


def _short(data):
    """17 to 240 bytes: what a schema of few columns takes."""
    size = len(data)
    assert size > 16, "no schema is as short"

    def word(at):
        return int.from_bytes(data[at:at + 8], "little")

    def mix16(at, secret):
        return _fold(word(at) ^ _secret64(secret), word(at + 8) ^ _secret64(secret + 8))

    low, high = size * _P64_1 & _64, 0

    def mix32(first, second, secret):
        nonlocal low, high
        low = (low + mix16(first, secret) & _64) ^ (word(second) + word(second + 8) & _64)
        high = (high + mix16(second, secret + 16) & _64) ^ (word(first) + word(first + 8) & _64)

    if size <= 128:
        for i in range((size - 1) // 32, -1, -1):
            mix32(16 * i, size - 16 * (i + 1), 32 * i)
    else:
        for i in range(4):
            mix32(32 * i, 32 * i + 16, 32 * i)
        low, high = _avalanche(low), _avalanche(high)
        for i in range(4, size // 32):
            mix32(32 * i, 32 * i + 16, 3 + 32 * (i - 4))
        mix32(size - 16, size - 32, 136 - 17 - 16)
    return (_avalanche(low + high & _64),
            -_avalanche(low * _P64_1 + high * _P64_4 + size * _P64_2 & _64) & _64)

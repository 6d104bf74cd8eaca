"""`imaging.codecs`: every transfer syntax, every bit layout, and streams that lie or end early."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest

from imaging.errors import CodecError, ReadError, TruncatedError
from imaging.reading.codecs import (
    TRANSFER_SYNTAXES,
    Layout,
    Syntax,
    decode,
    decoders,
    native,
    stored_values,
    syntax_of,
)
from tests.data import SHARED_DATA
from tests.dicom_files import ENCODERS

ROWS, COLUMNS = 24, 20
UNSIGNED = Layout(ROWS, COLUMNS, 16, 16, 15, signed=False)
SIGNED = Layout(ROWS, COLUMNS, 16, 16, 15, signed=True)
TWELVE = Layout(ROWS, COLUMNS, 16, 12, 11, signed=False)
TWELVE_SIGNED = Layout(ROWS, COLUMNS, 16, 12, 11, signed=True)


def values(low: int, high: int, seed: int = 0) -> np.ndarray:
    frame = np.random.default_rng(seed).integers(low, high + 1, (ROWS, COLUMNS))
    frame[0, 0], frame[0, 1] = low, high
    return frame


def test_every_syntax_can_be_decoded_here() -> None:
    table = decoders()
    assert {row["uid"] for row in table} == set(TRANSFER_SYNTAXES)
    assert all(row["available"] for row in table)


@pytest.mark.parametrize("uid", ENCODERS)
@pytest.mark.parametrize(
    ("layout", "low", "high"),
    [(UNSIGNED, 0, 65535), (SIGNED, -32768, 32767), (TWELVE, 0, 4095), (TWELVE_SIGNED, -2048, 2047)],
    ids=["u16", "s16", "u12", "s12"],
)
def test_lossless_round_trip(uid, layout, low, high) -> None:
    frame = values(low, high)
    bits = (frame & ((1 << layout.stored) - 1)).astype("u2")
    assert np.array_equal(decode(ENCODERS[uid](bits), layout, syntax_of(uid)), frame)


@pytest.mark.parametrize("layout", [SIGNED, TWELVE_SIGNED], ids=["s16", "s12"])
def test_sign_spread_over_all_16_bits_before_compression(layout) -> None:
    frame = values(-1 << layout.stored - 1, (1 << layout.stored - 1) - 1)
    data = imagecodecs.ljpeg_encode(frame.astype("i2").view("u2"))
    assert np.array_equal(decode(data, layout, syntax_of("1.2.840.10008.1.2.4.70")), frame)


@pytest.mark.parametrize("layout", [SIGNED, UNSIGNED], ids=["header signed", "header unsigned"])
def test_jpeg2000_that_is_signed_itself(layout) -> None:
    frame = values(-1024, 3071)
    data = imagecodecs.jpeg2k_encode(frame.astype("i2"), codecformat="j2k", reversible=True, level=0)
    assert np.array_equal(decode(data, layout, syntax_of("1.2.840.10008.1.2.4.90")), frame)


@pytest.mark.parametrize("order", ["<", ">"])
def test_native_frames(order) -> None:
    frames = np.stack([values(-32768, 32767, seed) for seed in range(3)])
    data = frames.astype(order + "i2").tobytes()
    syntax = Syntax("native", big_endian=order == ">")
    for index in range(3):
        assert np.array_equal(native(data, SIGNED, syntax, index), frames[index])
    with pytest.raises(TruncatedError):
        native(data[:-1], SIGNED, syntax, 2)


def test_overlay_bits_are_masked_and_sign_spread() -> None:
    layout = Layout(1, 4, 16, 12, 11, signed=True)
    raw = np.array([[0xF001, 0x0FFF, 0xA800, 0x57FF]], "u2")
    assert stored_values(raw, layout).tolist() == [[1, -1, -2048, 2047]]
    assert stored_values(raw, Layout(1, 4, 16, 12, 11, signed=False)).tolist() == [[1, 4095, 2048, 2047]]


def test_high_bit_above_the_stored_bits() -> None:
    raw = np.array([[0x0010, 0xFFF3, 0x8000]], "u2")
    assert stored_values(raw, Layout(1, 3, 16, 12, 15, signed=False)).tolist() == [[1, 4095, 2048]]
    assert stored_values(raw, Layout(1, 3, 16, 12, 15, signed=True)).tolist() == [[1, -1, -2048]]


@pytest.mark.parametrize(
    ("allocated", "stored", "high"), [(12, 12, 11), (16, 17, 16), (16, 12, 10), (16, 0, -1), (1, 1, 0)]
)
def test_impossible_layouts(allocated, stored, high) -> None:
    with pytest.raises(ReadError):
        Layout(1, 1, allocated, stored, high, signed=False)


@pytest.mark.parametrize("uid", ENCODERS)
def test_cut_streams_are_refused_at_every_length(uid) -> None:
    data = ENCODERS[uid](values(0, 4095).astype("u2"))
    for length in sorted({0, 1, 10, 63, 64, 80, len(data) // 2, len(data) - 20, len(data) - 3}):
        with pytest.raises((TruncatedError, CodecError)):
            decode(data[:length], UNSIGNED, syntax_of(uid))


@pytest.mark.parametrize("uid", ENCODERS)
def test_damaged_streams_end_typed(uid) -> None:
    data = bytearray(ENCODERS[uid](values(0, 4095).astype("u2")))
    generator = np.random.default_rng(3)
    for _ in range(200):
        broken = bytearray(data)
        for place in generator.integers(0, len(broken) - 2, 3):
            broken[place] = generator.integers(256)
        try:
            frame = decode(bytes(broken), UNSIGNED, syntax_of(uid))
        except ReadError:
            continue
        assert frame.shape == (ROWS, COLUMNS)


@pytest.mark.parametrize("uid", [u for u in ENCODERS if u != "1.2.840.10008.1.2.5"])
def test_stream_of_another_size(uid) -> None:
    data = ENCODERS[uid](np.zeros((64, 48), "u2"))
    with pytest.raises(CodecError):
        decode(data, UNSIGNED, syntax_of(uid))


def test_colour_and_too_many_bits() -> None:
    colour = imagecodecs.jpeg8_encode(np.zeros((ROWS, COLUMNS, 3), "u1"))
    with pytest.raises(CodecError):
        decode(colour, Layout(ROWS, COLUMNS, 8, 8, 7, signed=False), syntax_of("1.2.840.10008.1.2.4.50"))
    deep = imagecodecs.ljpeg_encode(values(0, 65535).astype("u2"))
    with pytest.raises(CodecError):
        decode(deep, Layout(ROWS, COLUMNS, 8, 8, 7, signed=False), syntax_of("1.2.840.10008.1.2.4.70"))


@pytest.mark.parametrize(
    ("uid", "word"), [("1.2.840.10008.1.2.4.100", "MPEG2"), ("1.2.3.4", "unknown"), ("", "unknown")]
)
def test_unknown_syntax_is_named(uid, word) -> None:
    with pytest.raises(CodecError, match=word) as caught:
        syntax_of(uid)
    assert "1.2.3.4" not in caught.value.message


WADO = SHARED_DATA / "dicom_nasty" / "cornerstone_wado"


@pytest.mark.skipif(not WADO.is_dir(), reason="shared data absent")
def test_one_slice_in_fifteen_syntaxes() -> None:
    import SimpleITK as sitk

    from imaging.reading.discover import find_series
    from imaging.reading.read import read_volume

    reference = read_volume(find_series(WADO / "CTImage.dcm").series[0])
    lossy = {
        ".4.50": 33.0,
        ".4.51": 2.1,
        ".4.53": 2.1,
        ".4.55": 2.1,
        ".4.81": 0.0,
        ".4.91": 1.0,
    }  # one step at most
    files = sorted(WADO.glob("CTImage.dcm_*"))
    assert len(files) == 15
    for file in files:
        volume = read_volume(find_series(file).series[0])
        step = next((t for end, t in lossy.items() if end + "." in file.name), None)
        if step is None:
            assert np.array_equal(volume.array, reference.array), file.name
            assert np.array_equal(volume.valid, reference.valid), file.name
            continue
        other = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
        assert np.array_equal(volume.valid, other > -1500), file.name
        assert np.abs(volume.array - other)[volume.valid].max() <= step + 0.001, file.name

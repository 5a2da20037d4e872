"""Encoders against hxtorch's recordings, plain NumPy, scipy, and the Poisson process's laws."""

import functools as ft
import itertools
import json
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
import scipy.stats
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from neurojax import encode

KEY = jax.random.key(7)


@pytest.fixture(scope="module")
def hxtorch(golden):
    """Parameters and arrays of a recorded case."""
    cases = json.loads((golden / "data/hxtorch.json").read_text())
    recorded = np.load(golden / "data/hxtorch.npz", allow_pickle=False)

    def case(name):
        arrays_of_case = {
            key.split("/")[1]: recorded[key] for key in recorded if key.startswith(name + "/")
        }
        return cases[name], arrays_of_case

    return case


# Direct and rate codes


def test_direct_repeats():
    x = np.arange(6, dtype=np.int32).reshape(2, 3)
    out = encode.direct(x, steps=4)
    assert out.dtype == jnp.float32
    assert (np.asarray(out) == np.tile(x, (4, 1, 1))).all()
    assert encode.direct(jnp.ones(2, jnp.bfloat16), steps=1).dtype == jnp.bfloat16


@pytest.mark.parametrize("dt", [None, 1e-3])
def test_poisson_counts_spikes_as_binomial(dt):
    # Every neuron's number of spikes is binomial; the bounds fail one correct run in 10^6.
    p = np.array([0.0, 0.02, 0.3, 0.9, 1.0]) if dt is None else None
    rates = p if dt is None else np.array([0.0, 20.0, 300.0, 1500.0])
    if dt is not None:
        p = 1 - np.exp(-rates * dt)
    steps = 20_000
    spikes = np.asarray(encode.poisson(rates.astype(np.float32), steps=steps, key=KEY, dt=dt))
    assert set(np.unique(spikes)) == {0.0, 1.0}
    low, high = scipy.stats.binom.interval(1 - 1e-6, steps, p)
    assert (spikes.sum(axis=0) >= low).all()
    assert (spikes.sum(axis=0) <= high).all()


def test_poisson_is_independent_over_time_and_neurons():
    spikes = np.asarray(encode.poisson(jnp.full((2,), 0.5), steps=20_000, key=KEY)) - 0.5
    bound = 5 / np.sqrt(20_000)  # five standard deviations of a correlation of white noise
    assert abs(4 * (spikes[1:, 0] * spikes[:-1, 0]).mean()) < bound
    assert abs(4 * (spikes[:, 0] * spikes[:, 1]).mean()) < bound


def test_poisson_counts_follow_the_distribution():
    counts = np.asarray(
        encode.poisson(jnp.array([700.0]), steps=20_000, key=KEY, dt=1e-3, counts=True)
    ).ravel()
    seen = np.bincount(counts.astype(int), minlength=8)
    expected = scipy.stats.poisson(0.7).pmf(np.arange(len(seen))) * counts.size
    enough = expected > 5
    statistic = ((seen - expected) ** 2 / expected)[enough].sum()
    assert statistic < scipy.stats.chi2(enough.sum() - 1).ppf(1 - 1e-6)


def test_poisson_key_decides():
    rates = jnp.linspace(0, 1, 50)
    first = encode.poisson(rates, steps=20, key=KEY)
    again = jax.jit(lambda r: encode.poisson(r, steps=20, key=KEY))(rates)
    other = encode.poisson(rates, steps=20, key=jax.random.key(8))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize(
    ("rates", "options", "message"),
    [
        ([0.5, 1.5], {}, "hertz"),
        ([-0.1], {"dt": 1e-3}, "0 to inf"),
        ([np.nan], {}, "nan"),
        ([0.5], {"dt": 0.0}, "dt is 0.0"),
        ([0.5], {"steps": 0}, "steps is 0"),
    ],
)
def test_poisson_refuses(rates, options, message):
    with pytest.raises(ValueError, match=message):
        encode.poisson(np.array(rates, np.float32), **{"steps": 3, "key": KEY, **options})


# Latency codes


@pytest.mark.parametrize("name", ["enc_coord", "enc_coord_bias", "enc_coord_half"])
@pytest.mark.parametrize("compiled", [False, True])
def test_coordinates_as_hxtorch(hxtorch, name, compiled):
    about, case = hxtorch(name)

    def call(x):
        return encode.coordinates_to_spikes(
            x,
            steps=about["seq_length"],
            t_early=about["t_early"],
            t_late=about["t_late"],
            dt=about["dt"],
            t_bias=about["t_bias"],
        )

    assert (np.asarray((jax.jit(call) if compiled else call)(case["x"])) == case["y"]).all()


@given(
    arrays(np.float32, st.sampled_from([1, 6]), elements=st.floats(0, 1, width=32)),
    st.integers(0, 5),
    st.integers(0, 40),
    st.integers(1, 8),
    st.booleans(),
)
def test_coordinates_round_to_the_nearest_step(x, early, length, dt, compiled):
    # Exact arithmetic in fractions of a microsecond; near half way both neighbours are right.
    late = early + length
    steps = late // dt + 2
    options = dict(steps=steps, t_early=early * 1e-6, t_late=late * 1e-6, dt=dt * 1e-6)
    encoder = ft.partial(encode.coordinates_to_spikes, **options)
    raster = np.asarray((jax.jit(encoder) if compiled else encoder)(x))
    assert (raster.sum(axis=0) == 1).all()
    exact = [(early + Fraction(float(value)) * length) / dt for value in x]
    assert all(abs(t - e) <= 0.5 + 1e-4 for t, e in zip(raster.argmax(axis=0), exact, strict=True))


def test_bias_spike_is_rounded():
    # 35e-6 / 5e-6 is 6.999...; hxtorch truncates it to 6.
    assert int(35e-6 / 5e-6) == 6
    raster = encode.coordinates_to_spikes(
        jnp.zeros((2, 1)), steps=9, t_early=0, t_late=1e-5, dt=5e-6, t_bias=35e-6
    )
    assert raster.shape == (9, 2, 2)
    assert jnp.argmax(raster[:, :, 1], axis=0).tolist() == [7, 7]


def test_coordinates_outside_the_raster():
    options = {"steps": 4, "t_early": 0.0, "t_late": 3.0, "dt": 1.0}
    with pytest.raises(ValueError, match="in step 6, the raster has steps 0 to 3"):
        encode.coordinates_to_spikes(jnp.array([0.0, 2.0]), **options)
    with pytest.raises(ValueError, match="t_bias spikes in step 4"):
        encode.coordinates_to_spikes(jnp.array([0.0]), t_bias=4.0, **options)
    left_out = jax.jit(lambda x: encode.coordinates_to_spikes(x, **options))(jnp.array([0.0, 2.0]))
    assert left_out.sum(axis=0).tolist() == [1, 0]


def test_pixels_as_hxtorch(hxtorch):
    about, case = hxtorch("enc_pixels")
    options = {key: about[key] for key in ("tau", "threshold", "t_max")}
    times = encode.pixels_to_spike_times(case["x"], eps=about["epsilon"], **options)
    np.testing.assert_allclose(times, case["y"], rtol=2e-6)


def test_pixel_times_solve_the_membrane_equation():
    # v' = (x - v) / tau from 0 reaches theta at t.
    x, tau, theta = np.linspace(0.25, 1, 20).astype(np.float32), 20.0, 0.2
    encoder = ft.partial(encode.pixels_to_spike_times, tau=tau, t_max=1e3)
    times = np.asarray(jax.jit(ft.partial(encoder, threshold=theta))(x))
    np.testing.assert_allclose(x * (1 - np.exp(-times / tau)), theta, rtol=1e-5)
    slope = jax.jit(jax.vmap(jax.grad(encoder)))(x)
    np.testing.assert_allclose(slope, -tau * theta / (x * (x - theta)), rtol=1e-3)
    dark = jax.jit(jax.grad(encode.pixels_to_spike_times))(0.1)
    assert dark == 0


@pytest.mark.parametrize("name", ["enc_dense_12", "enc_dense_25"])
def test_spike_times_as_hxtorch(hxtorch, name):
    about, case = hxtorch(name)
    raster = encode.spike_times_to_raster(
        case["t"], steps=about["size"], dt=about["bin_width"], rounding="floor"
    )
    assert (np.asarray(raster) == case["y"]).all()


@pytest.mark.parametrize("compiled", [False, True])
def test_spike_times_on_the_grid_fall_into_their_step(compiled):
    for dt in (1e-6, 3e-4, 0.1, 7.0):
        times = (np.arange(500) * dt).astype(np.float32)

        def call(t, dt=dt):
            return encode.spike_times_to_raster(t, steps=500, dt=dt)

        raster = np.asarray((jax.jit(call) if compiled else call)(times))
        assert (raster == np.eye(500)).all()


def test_spike_times_without_a_step_are_left_out():
    times = np.array([-1.0, 5.0, np.inf, -np.inf, np.nan, 1e30], np.float32)
    assert not np.asarray(encode.spike_times_to_raster(times, steps=5, dt=1.0)).any()
    with pytest.raises(ValueError, match="rounding is 'up'"):
        encode.spike_times_to_raster(times, steps=5, dt=1.0, rounding="up")


# Delta codes

# Eighths: sums and comparisons are exact in float32.
SIGNALS = arrays(np.float32, (12, 3), elements=st.integers(-80, 80)).map(
    lambda a: a / np.float32(8)
)


@given(SIGNALS)
def test_delta_is_the_difference(signal):
    spikes = np.asarray(encode.delta(signal, threshold=0.5))
    change = np.zeros_like(signal)
    change[1:] = signal[1:] - signal[:-1]
    assert spikes.shape == (len(signal), 2, 3)
    assert (spikes[:, 0] == (change >= 0.5)).all()
    assert (spikes[:, 1] == (change <= -0.5)).all()


send_on_delta = jax.jit(encode.send_on_delta, static_argnames=("threshold", "max_spikes"))


@given(SIGNALS, st.sampled_from([1, 2, None]))
def test_send_on_delta_step_by_step(signal, max_spikes):
    sent = send_on_delta(signal, threshold=0.5, max_spikes=max_spikes)
    level = signal[0].copy()
    for t, sample in enumerate(signal):
        for neuron in range(3):
            on = off = 0
            while sample[neuron] - level[neuron] >= 0.5 and on != max_spikes:
                on, level[neuron] = on + 1, level[neuron] + 0.5
            while level[neuron] - sample[neuron] >= 0.5 and off != max_spikes:
                off, level[neuron] = off + 1, level[neuron] - 0.5
            assert sent.spikes[t, :, neuron].tolist() == [on, off]
        assert (np.asarray(sent.level[t]) == level).all()
    if max_spikes is None:
        assert (np.abs(signal - np.asarray(sent.level)) < 0.5).all()


def test_send_on_delta_options():
    signal = jnp.zeros((5, 4, 3))
    sent = jax.jit(lambda s: encode.send_on_delta(s, threshold=0.5, initial=1.0, axis=2))(signal)
    assert sent.spikes.shape == (5, 4, 2, 3)
    assert sent.level[:, 0, 0].tolist() == [0.5, 0, 0, 0, 0]
    for options in ({"threshold": 0.0}, {"threshold": 1.0, "max_spikes": 0}):
        with pytest.raises(ValueError, match="send_on_delta: "):
            encode.send_on_delta(signal, **options)
    with pytest.raises(ValueError, match="first axis must be time"):
        encode.delta(jnp.zeros((0, 3)), threshold=1.0)


# Lists of spikes

RASTERS = arrays(
    np.int32,
    st.tuples(st.integers(1, 8), st.integers(1, 4), st.integers(1, 4)),
    elements=st.sampled_from([0, 0, 0, 1, 2, 5]),
)


@given(RASTERS, st.randoms())
def test_spike_list_round_trip(raster, random):
    spikes = encode.raster_to_spikes(raster)
    assert len(spikes.time) == raster.sum()
    order = random.sample(range(len(spikes.time)), len(spikes.time))
    shuffled = encode.SpikeList(spikes.time[order], spikes.neuron[order])
    back = encode.spikes_to_raster(shuffled, shape=raster.shape[1:], steps=len(raster))
    assert back.dtype == np.float32
    assert (back == raster).all()


@jax.jit
def _there_and_back(raster):
    padded = encode.raster_to_padded_spikes(raster, capacity=raster.size)
    steps, *shape = raster.shape
    return padded, encode.padded_spikes_to_raster(padded, steps=steps, shape=tuple(shape))


# One shape, which compiles once.
@given(arrays(np.int32, (5, 3, 2), elements=st.sampled_from([0, 0, 0, 1, 2, 5])))
def test_padded_round_trip(raster):
    padded, back = _there_and_back(raster.astype(np.float32))
    assert (np.asarray(back) == raster).all()
    assert int(padded.total) == np.count_nonzero(raster)


def test_padded_list_that_is_too_short():
    raster = jnp.array([[1.0, 0.0], [1.0, 3.0]])
    padded = encode.raster_to_padded_spikes(raster, capacity=2)
    assert int(padded.total) == 3
    back = encode.padded_spikes_to_raster(padded, steps=2, shape=(2,))
    assert back.tolist() == [[1, 0], [1, 0]]


def test_padded_entries_outside_are_left_out():
    wrong = encode.PaddedSpikes(
        jnp.array([-1, 2, 0, 0, 1]), jnp.array([0, 0, 2, -1, 1]), jnp.ones(5), jnp.array(5)
    )
    assert encode.padded_spikes_to_raster(wrong, steps=2, shape=(2,)).tolist() == [[0, 0], [0, 1]]


def test_spike_lists_refuse():
    with pytest.raises(ValueError, match=r"entry \(1,\) is 0.5"):
        encode.raster_to_spikes(np.array([1, 0.5]))
    with pytest.raises(ValueError, match="is -1; spikes"):
        encode.raster_to_spikes(np.array([[-1]]))
    spikes = encode.SpikeList(np.array([0, 4]), np.array([0, 1]))
    with pytest.raises(ValueError, match="time runs from 0 to 4; the legal range is 0 to 3"):
        encode.spikes_to_raster(spikes, shape=(2,), steps=4)
    with pytest.raises(ValueError, match="neuron runs from 0 to 1"):
        encode.spikes_to_raster(spikes, shape=(1,))
    assert encode.spikes_to_raster(spikes, shape=(2,)).shape == (5, 2)


# Camera events


@given(
    arrays(
        np.int32,
        st.tuples(st.integers(1, 9), st.integers(1, 2), st.integers(1, 3), st.integers(1, 3)),
        elements=st.sampled_from([0, 0, 0, 1, 2, 5]),
    ),
    st.sampled_from([1e-6, 1e-3, 1e-3 / 3, 1e-3 / 7, 0.07, 1.1e-3, 2.5e-6, 1e6]),
    st.integers(0, 10**6),
)
def test_camera_round_trip(raster, dt, start):
    events = encode.raster_to_events(raster, dt=dt, start=start)
    assert len(events) == raster.sum()
    assert (np.diff(events.t) >= 0).all()
    back = encode.events_to_raster(
        events, steps=len(raster), dt=dt, shape=raster.shape[1:], start=start
    )
    assert (back == raster).all()


@given(
    st.lists(st.tuples(st.integers(0, 10**6), *[st.integers(0, 2)] * 2, st.integers(0, 1))),
    st.integers(1, 7),
    st.integers(2, 50_000),
)
def test_camera_events_are_counted_one_by_one(rows, denominator, numerator):
    # The time bin in exact arithmetic, one event after the other.
    tick = Fraction(numerator, denominator)
    if tick < 1:
        return
    t, x, y, polarity = np.array(rows, np.int64).reshape(-1, 4).T
    events = encode.Events(t, x, y, polarity, size=(3, 3))
    steps = 9
    expected = np.zeros((steps, 2, 3, 3))
    for at, column, row, on in rows:
        if at // tick < steps:
            expected[at // tick, on, row, column] += 1
    dt = float(tick) * 1e-6
    assert (encode.events_to_raster(events, steps=steps, dt=dt) == expected).all()
    merged = encode.events_to_raster(events, steps=steps, dt=dt, shape=(1, 3, 3))
    assert (merged == expected.sum(axis=1, keepdims=True)).all()


def test_camera_steps_and_start():
    t = np.array([1000, 1999, 4500])
    events = encode.Events(t, *np.zeros((3, 3), int), size=(1, 1))

    def per_step(**options):
        return encode.events_to_raster(events, **options).sum(axis=(1, 2, 3)).tolist()

    assert per_step(dt=1e-3) == [0, 2, 0, 0, 1]
    assert per_step(dt=1e-3, start=1000) == [2, 0, 0, 1]
    assert per_step(dt=1e-3, steps=7) == [0, 2, 0, 0, 1, 0, 0]
    assert per_step(dt=1e-3, steps=2) == [0, 2]
    assert per_step(dt=1e-3, start=1500) == [1, 0, 0, 1]
    assert per_step(steps=2) == [2, 1]
    assert per_step(steps=5) == [0, 1, 1, 0, 1]  # edges at 0, 901, 1801, 2701, 3601, 4501
    nothing = encode.Events(*np.zeros((4, 0), int), size=(1, 1))
    assert encode.events_to_raster(nothing, dt=1e-3, steps=3).shape == (3, 2, 1, 1)
    assert encode.events_to_raster(nothing, dt=1e-3).shape == (0, 2, 1, 1)
    assert not encode.events_to_raster(nothing, steps=3).any()
    assert len(events[events.t > 1500]) == 2


def test_camera_refusals():
    events = encode.Events(*np.array([[5], [3], [0], [1]]))
    for options, message in (
        ({"steps": 1}, "give `shape`"),
        ({"shape": (2, 4, 4)}, "give `steps`, `dt`, or both"),
        ({"dt": 1e-7, "shape": (2, 4, 4)}, "the least is 1e-6"),
        ({"steps": 1, "shape": (2, 4, 3)}, "x runs from 3 to 3"),
        ({"steps": 1, "shape": (3, 4, 4)}, "3 channels"),
    ):
        with pytest.raises(ValueError, match=message):
            encode.events_to_raster(events, **options)
    since_1970 = encode.Events(np.array([1_700_000_000_000_000]), events.x, events.y, events.y)
    with pytest.raises(ValueError, match="give `start`"):
        encode.events_to_raster(since_1970, dt=1e-3, shape=(2, 4, 4))
    with pytest.raises(ValueError, match="with one or two channels"):
        encode.raster_to_events(np.zeros((3, 3, 3, 3)), dt=1e-3)


# Sound


def test_band_power_against_scipy():
    sound = np.random.default_rng(0).normal(size=(2, 1000)).astype(np.float32) * 0.1
    frame, hop, bands = 128, 50, 10
    features = np.asarray(
        encode.log_band_power(sound, frame=frame, hop=hop, bands=bands, floor=1e-3)
    )
    # scipy centres frame p on sample p * hop: pad so that one of them begins with the sound.
    transform = scipy.signal.ShortTimeFFT(np.hanning(frame), hop, fs=1.0)
    lead, frames = -(frame // 2) % hop, 1 + (1000 - frame) // hop
    first = (lead + frame // 2) // hop
    padded = np.pad(sound.astype(np.float64), ((0, 0), (lead, frame)))
    power = np.abs(transform.stft(padded, p0=first, p1=first + frames)) ** 2
    edges = encode._audio._band_edges(frame // 2 + 1, bands)
    means = [power[:, a:b].mean(axis=1) for a, b in itertools.pairwise(edges)]
    expected = np.log(np.stack(means, axis=-1) + 1e-3)
    assert features.shape == (2, frames, bands)
    np.testing.assert_allclose(features, expected, atol=1e-4)


@pytest.mark.parametrize("frequency", [300, 1000, 3500])
def test_tone_is_in_its_band(frequency):
    rate, frame = 8000, 256
    tone = np.sin(2 * np.pi * frequency * np.arange(4000) / rate).astype(np.float32)
    edges = encode._audio._band_edges(frame // 2 + 1, 16) * rate / frame
    loudest = np.asarray(jax.jit(encode.log_band_power)(tone)).argmax(axis=1)
    assert (edges[loudest] <= frequency).all()
    assert (frequency < edges[loudest + 1]).all()


@given(st.integers(2, 300), st.data())
def test_bands_cover_every_bin_once(bins, data):
    bands = data.draw(st.integers(1, bins - 1))
    edges = encode._audio._band_edges(bins, bands)
    assert edges[0] == 1
    assert edges[-1] == bins
    assert (np.diff(edges) >= 1).all()


def test_band_power_refuses():
    with pytest.raises(ValueError, match="100 samples are shorter"):
        encode.log_band_power(np.zeros(100, np.float32))
    with pytest.raises(ValueError, match="Lower `bands`"):
        encode.log_band_power(np.zeros(100, np.float32), frame=16, bands=9)


def test_everything_compiles_under_vmap():
    x = jnp.linspace(0.25, 0.75, 6).reshape(2, 3)
    for encoder in (
        lambda v: encode.direct(v, steps=4),
        lambda v: encode.poisson(v, steps=4, key=KEY),
        lambda v: encode.coordinates_to_spikes(v, steps=9, t_early=0.0, t_late=8.0, dt=1.0),
        lambda v: encode.spike_times_to_raster(
            encode.pixels_to_spike_times(v, t_max=30.0), steps=30, dt=1.0
        ),
    ):
        mapped = jax.jit(jax.vmap(encoder, out_axes=1))(x)
        assert mapped.shape[1:] == (2, 3)
        one = encoder(x[0])
        assert (mapped[:, 0] == one).all()


def test_a_raster_too_large_says_when_the_first_event_is():
    late = encode.Events(*np.array([[10**15], [0], [0], [1]]))
    with pytest.raises(ValueError, match="first event is at 1000000000000000 us"):
        encode.events_to_raster(late, dt=1e-6, shape=(2, 1, 1))

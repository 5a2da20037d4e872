"""hxtorch's perceptron mode with its mock of the chip: products, convolutions, layers.

What a case holds is told by its name up to the first parameter (`mac_small_ns1`, `conv2d_tiled`)
and by its description and arrays, never by their sizes.
"""

import functools as ft
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import neurojax as nj
from neurojax.chips.bss2 import perceptron as hagen
from tests.conformance._bss2_case import EXACT, GRADIENT, TRACE, Case, cases, result_of
from tests.conformance._result import QUICK, Result, attempt, not_covered

BOUND = 5.0
"""Standard errors that a statistic of noise may be off."""


def run(directory: Path) -> Iterator[Result]:
    """Every case of a recording of the perceptron mode."""
    for case in cases(directory, "bss2 perceptron"):
        compare = comparison(case)
        if compare is not None:
            yield from attempt(case.group, case.name, ft.partial(_one, compare, case))
    for path in sorted(directory.glob("*.json")):
        description = json.loads(path.read_text())
        if str(description.get("area", "")).startswith("bss2 perceptron"):
            for name in description.get("errors", {}):
                yield refused(path.stem, name)


def refused(group: str, name: str) -> Result:
    """Whether a call that hxtorch refuses is refused."""
    if name not in REFUSALS:
        return not_covered(group, f"error {name}", "it is not known what was called")
    x, w = REFUSALS[name]
    try:
        hagen.mac(jnp.asarray(x), jnp.asarray(w), mock=hagen.MockParameter(noise_std=0.0))
    except ValueError:
        return Result(group, f"error {name}", True, 0.0)
    return Result(group, f"error {name}", False, np.inf, "hxtorch refuses this, and mac does not")


def _one(compare: Callable[[Case], Result], case: Case) -> list[Result]:
    return [compare(case)]


def comparison(case: Case) -> Callable[[Case], Result] | None:
    """How a case is compared; the longest beginning of its name that is known."""
    found = [name for name in COMPARISONS if case.name.startswith(name)]
    return COMPARISONS[max(found, key=len)] if found else None


def mock_of(case: Case) -> hagen.MockParameter:
    """The recorded gain, without noise."""
    return hagen.MockParameter(noise_std=0.0, gain=case.about["gain"])


def compare_operation(
    function: Callable[..., Any], names: str, case: Case, rtol: float = EXACT
) -> Result:
    """A function of the recorded arrays `names`: its value, and its gradients where recorded."""
    given = [name for name in names.split() if name in case.arrays]
    arguments = [jnp.asarray(case.arrays[name]) for name in given]
    y, gradients = differentiate(function, arguments, case.arrays.get("cot"))
    pairs = {"y": (y, case.arrays["y"], rtol)}
    pairs |= {
        f"g{name}": (gradient, case.arrays[f"g{name}"], GRADIENT)
        for name, gradient in zip(given, gradients, strict=False)
    }
    return result_of(case, pairs)


def differentiate(
    function: Callable[..., Any], arguments: Sequence[jax.Array], cotangent: Any
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """Value and gradients, compiled together; no gradients without a cotangent."""
    if cotangent is None:
        return jax.jit(function, compiler_options=QUICK)(*arguments), ()

    @ft.partial(jax.jit, compiler_options=QUICK)
    def both(arguments: Sequence[jax.Array], cotangent: jax.Array) -> Any:
        y, pull = jax.vjp(function, *arguments)
        return y, pull(cotangent)

    return both(tuple(arguments), jnp.asarray(cotangent))


def compare_product(function: Callable[..., Any], case: Case) -> Result:
    """A product or a convolution."""
    # What compiles faster: recorded numbers are within their ranges.
    options = {
        "num_sends": case.about["num_sends"],
        "mock": mock_of(case),
        "out_of_range": "saturate",
    }
    for name in ("stride", "num_expansions"):
        if name in case.about:
            options[name] = case.about[name]
    # Integers, unless a bias is added to them.
    rtol = TRACE if case.has("b") else EXACT
    return compare_operation(ft.partial(function, **options), "x w b", case, rtol)


def compare_converting_relu(case: Case) -> Result:
    """The activation with its shift."""
    shift = case.about["shift"]
    return compare_operation(ft.partial(hagen.converting_relu, shift=shift), "x", case)


def compare_argmax(case: Case) -> Result:
    """Indices along each recorded axis: `d1k` is axis 1, kept."""
    pairs = {}
    for name, recorded in case.arrays.items():
        if name.startswith("d"):
            axis = None if name == "d_none" else int(name[1:].rstrip("k"))
            y = hagen.argmax(case.arrays["x"], axis=axis, keepdims=name.endswith("k"))
            pairs[name] = (y, recorded, EXACT)
    return result_of(case, pairs)


def compare_clamp(case: Case) -> Result:
    """Limited weights."""
    y = hagen.clamp_weight(jnp.asarray(case.arrays["w"]))
    return result_of(case, {"y": (y, case.arrays["y"], EXACT)})


def compare_scale(function: Callable[[Any], Any], case: Case) -> Result:
    """A scaled array and its gradient; arrays without a positive maximum stay as they are."""
    x = jnp.asarray(case.arrays["x"])
    y, (gx,) = differentiate(function, [x], case.arrays["cot"])
    pairs = {"y": (y, case.arrays["y"], TRACE), "gx": (gx, case.arrays["gx"], GRADIENT)}
    zero = case.arrays["y_zero"]
    pairs["y_zero"] = (function(jnp.zeros_like(zero)), zero, EXACT)
    if function is hagen.scale_input:  # the maximum of magnitudes is positive
        negative = jnp.asarray(case.arrays["y_neg"])
        pairs["y_neg"] = (function(negative), negative, EXACT)
    else:
        largest = np.abs(case.arrays["y_neg"]).max()
        pairs["y_neg"] = (largest, np.float32(hagen.WEIGHT[1]), TRACE)
    return result_of(case, pairs)


def compare_num_sends(case: Case) -> Result:
    """The number of sends that a new layer takes, a row (inputs, outputs, sends)."""
    mock = hagen.MockParameter(gain=case.about["gain"])
    got = [
        hagen.Linear(
            int(n), int(m), mock=mock, relu_shift=case.about["relu_shift"], key=jax.random.key(0)
        ).num_sends
        for n, m, _ in case.arrays["table"]
    ]
    return result_of(case, {"num_sends": (got, case.arrays["table"][:, 2], EXACT)})


def compare_first_weights(case: Case) -> Result:
    """The distribution of new parameters: spread and mean, their limits."""
    outputs, inputs = case.arrays["weight"].shape
    layer = hagen.Linear(
        inputs,
        outputs * 100,
        bias=True,
        num_sends=case.about.get("num_sends", 1),  # hxtorch's default
        mock=hagen.MockParameter(gain=case.about["gain"]),
        relu_shift=case.about["relu_shift"],
        key=jax.random.key(0),
    )
    assert layer.bias is not None
    differences = []
    for name, ours in (("weight", layer.weight), ("bias", layer.bias)):
        recorded, ours = case.arrays[name].ravel(), np.asarray(ours).ravel()
        error = ours.std() / np.sqrt(recorded.size)
        differences += [
            f"{what} of {name}: recorded {theirs:.4g}, got {mine:.4g}"
            for what, theirs, mine in (
                ("mean", recorded.mean(), ours.mean()),
                ("spread", recorded.std(), ours.std()),
            )
            if abs(theirs - mine) > BOUND * error
        ]
        if np.abs(recorded).max() > np.abs(ours).max() * 1.05:
            differences.append(f"{name}: recorded values are larger than any of ours")
    text = "; ".join(differences)
    return Result(case.group, case.name, not text, 0.0, text)


def compare_linear_layer(case: Case) -> Result:
    """A dense layer that averages, scales its inputs and limits its weights."""
    about, arrays = case.about, case.arrays
    if (
        about["input_transform"] != "scale_input"
        or "clamp_weight_" not in about["weight_transform"]
    ):
        raise ValueError("transforms that are not known")

    def output(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
        layer = hagen.Linear.from_weights(
            w,
            b,
            num_sends=about["num_sends"],
            avg=about["avg"],
            mock=mock_of(case),
            out_of_range="saturate",
            input_transform=hagen.scale_batch,
        )
        return nj.simulate(nj.Sequential(x.shape[1:], linear=layer), x[None]).outputs[0]

    given = [jnp.asarray(arrays[name]) for name in ("x", "w_before", "b")]
    y, (gx, gw, gb) = differentiate(output, given, arrays["cot"])
    limited = hagen.clamp_weight(jnp.asarray(arrays["w_before"]))
    return result_of(
        case,
        {
            "y": (y, arrays["y"], EXACT),
            "gx": (gx, arrays["gx"], GRADIENT),
            "gw": (gw, arrays["gw"], GRADIENT),
            "gb": (gb, arrays["gb"], GRADIENT),
            "w_after": (limited, arrays["w_after"], EXACT),
        },
    )


def compare_conv_layer(cls: type[hagen.MACLayer], case: Case) -> Result:
    """A convolution with padding."""
    about = case.about

    def output(x: jax.Array, w: jax.Array, b: jax.Array | None = None) -> jax.Array:
        layer = cls.from_weights(  # type: ignore[attr-defined]
            w,
            b,
            stride=about["stride"],
            padding=about["padding"],
            num_sends=about["num_sends"],
            mock=mock_of(case),
            out_of_range="saturate",
        )
        return nj.simulate(nj.Sequential(x.shape[1:], conv=layer), x[None]).outputs[0]

    return compare_operation(output, "x w b", case, TRACE)


def compare_expansions(case: Case) -> Result:
    """The number of positions that a new layer computes at once."""
    about = case.about
    layer = hagen.ExpandedConv1d(
        about["in_channels"],
        about["out_channels"],
        about["kernel"],
        stride=about["stride"],
        key=jax.random.key(0),
    )
    recorded = about["num_expansions"]
    return result_of(case, {"num_expansions": (layer.num_expansions, recorded, EXACT)})


def compare_noise(case: Case) -> Result:
    """Mean and spread of many noisy products of the same vector."""
    about, arrays = case.about, case.arrays
    n = about["n"]
    mock = hagen.MockParameter(noise_std=about["noise_std"], gain=about["gain"])
    x = jnp.broadcast_to(jnp.asarray(arrays["x"]), (n, *arrays["x"].shape))
    y = np.asarray(hagen.mac(x, jnp.asarray(arrays["w"]), mock=mock, key=jax.random.key(0)))
    quiet = hagen.mac(arrays["x"], jnp.asarray(arrays["w"]), mock=mock_of(case))
    # Recorded before it is rounded down.
    rounded = np.clip(np.floor(arrays["noiseless"]), *hagen.OUTPUT)
    found = result_of(case, {"noiseless": (quiet, rounded, EXACT)})
    if found.difference:
        return found
    # Both are samples of n: the difference of their means has twice the variance of a mean.
    means = np.abs(y.mean(0) - arrays["mean"]) / (arrays["std"] * np.sqrt(2 / n))
    spreads = np.abs(y.std(0) - arrays["std"]) / (arrays["std"] * np.sqrt(1 / n))
    worst = float(max(means.max(), spreads.max()))
    text = "" if worst < BOUND else f"mean or spread is {worst:.1f} standard errors off"
    return Result(case.group, case.name, not text, worst, text)


REFUSALS = {
    "weight_64": (np.ones(4), np.full((4, 2), 64.0)),
    "input_neg": (-np.ones(4), np.ones((4, 2))),
    "w_3d": (np.ones(4), np.ones((4, 2, 2))),
    "x_3d": (np.ones((2, 3, 4)), np.ones((4, 2))),
}
"""Inputs and weights of products, by the names that recordings give their refusals."""

COMPARISONS: dict[str, Callable[[Case], Result]] = {
    "mac": ft.partial(compare_product, hagen.mac),
    "mac_noise": compare_noise,
    "matmul": ft.partial(compare_product, hagen.matmul),
    "conv1d": ft.partial(compare_product, hagen.conv1d),
    "conv2d": ft.partial(compare_product, hagen.conv2d),
    "expanded_conv1d": ft.partial(compare_product, hagen.expanded_conv1d),
    "expanded_auto": compare_expansions,
    "relu": ft.partial(compare_operation, hagen.relu, "x"),
    "converting_relu": compare_converting_relu,
    "add": ft.partial(compare_operation, hagen.add, "a b"),
    "argmax": compare_argmax,
    "clamp_weight": compare_clamp,
    "scale_weight": ft.partial(compare_scale, hagen.scale_weight),
    "scale_input": ft.partial(compare_scale, hagen.scale_input),
    "linear_num_sends": compare_num_sends,
    "linear_init": compare_first_weights,
    "nn_linear": compare_linear_layer,
    "nn_conv1d": ft.partial(compare_conv_layer, hagen.Conv1d),
    "nn_conv2d": ft.partial(compare_conv_layer, hagen.Conv2d),
}
"""By the beginning of a case's name."""

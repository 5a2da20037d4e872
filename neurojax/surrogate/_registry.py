"""Surrogates by name: our own, and the ones of other libraries under their names and defaults."""

import ast
import difflib
import inspect
from collections.abc import Callable
from typing import Any

from . import _piecewise as piecewise, _smooth as smooth
from ._spike import Surrogate


def _subclasses(module: Any) -> list[type[Surrogate]]:
    found = [value for value in vars(module).values() if isinstance(value, type)]
    return [c for c in found if issubclass(c, Surrogate) and c is not Surrogate]


_OWN: list[type[Surrogate]] = [*_subclasses(smooth), *_subclasses(piecewise)]


def _squarewave(n: int = 2, T_period: float = 8.0) -> Surrogate:
    # The peer's loop runs over range(1, n), so n = 1 is an empty sum.
    if n == 1:
        return piecewise.NoGradient()
    return smooth.SquareWaveFourier(terms=n - 1, period=T_period)


# Parameter names, their order and the defaults are the library's, so that its calls can be
# repeated.
_PEERS: dict[str, Callable[..., Surrogate]] = {
    "spikingjelly.Sigmoid": lambda alpha=4.0: smooth.Sigmoid(alpha),
    "spikingjelly.ATan": lambda alpha=2.0: smooth.ATan(alpha),
    "spikingjelly.PiecewiseQuadratic": lambda alpha=1.0: piecewise.PiecewiseQuadratic(alpha),
    "spikingjelly.PiecewiseExp": lambda alpha=1.0: smooth.PiecewiseExponential(alpha),
    "spikingjelly.SoftSign": lambda alpha=2.0: smooth.SoftSign(alpha),
    "spikingjelly.SuperSpike": lambda alpha=1.0: smooth.SuperSpike(alpha=1.0, scale=alpha),
    "spikingjelly.Erf": lambda alpha=2.0: smooth.Erf(alpha),
    "spikingjelly.NonzeroSignLogAbs": lambda alpha=1.0: smooth.NonzeroSignLogAbs(alpha),
    "spikingjelly.Rect": lambda alpha=1.0: piecewise.Rect(alpha),
    "spikingjelly.QPseudoSpike": lambda alpha=2.0: smooth.QPseudoSpike(alpha),
    "spikingjelly.LeakyKReLU": lambda leak=0.0, k=1.0: piecewise.LeakyKReLU(leak, k),
    "spikingjelly.PiecewiseLeakyReLU": lambda w=1.0, c=0.01: piecewise.PiecewiseLeakyReLU(w, c),
    "spikingjelly.S2NN": lambda alpha=4.0, beta=1.0: smooth.S2NN(alpha, beta),
    "spikingjelly.LogTailedReLU": lambda alpha=0.0: piecewise.LogTailedReLU(alpha),
    "spikingjelly.DeterministicPass": lambda: piecewise.StraightThrough(),
    "spikingjelly.FakeNumericalGradient": lambda alpha=0.3: piecewise.FakeNumericalGradient(alpha),
    "spikingjelly.SquarewaveFourierSeries": _squarewave,
    "snntorch.atan": lambda alpha=2.0: smooth.ATan(alpha),
    "snntorch.fast_sigmoid": lambda slope=25.0: smooth.FastSigmoid(slope),
    "snntorch.sigmoid": lambda slope=25.0: smooth.Sigmoid(slope),
    "snntorch.triangular": lambda threshold=1.0: piecewise.SnnTorchTriangular(threshold),
    "snntorch.heaviside": lambda: piecewise.SpikeGate(),
    "snntorch.straight_through_estimator": lambda: piecewise.StraightThrough(),
    "snntorch.spike_rate_escape": lambda beta=1.0, slope=25.0: smooth.SpikeRateEscape(beta, slope),
    "snntorch.SFS": lambda slope=25.0, B=1.0: piecewise.SparseFastSigmoid(slope, B),
    # "super" takes its alpha and does not use it, as the library does.
    "norse.super": lambda alpha=100.0: smooth.SuperSpike(alpha=1.0),
    "norse.tanh": lambda alpha=100.0: smooth.Tanh(alpha),
    "norse.triangle": lambda alpha=100.0: piecewise.Triangle(width=1.0, height=alpha),
    "norse.circ": lambda alpha=100.0: smooth.Circ(alpha),
    "norse.heavi_erfc": lambda alpha=100.0: smooth.Erf(alpha, scale=2 / alpha),
    "norse.heaviside": lambda alpha=100.0: piecewise.NoGradient(),
    "sinabs.SingleExponential": lambda grad_width=0.5, grad_scale=1.0: smooth.Exponential(
        grad_width, grad_scale
    ),
    "sinabs.PeriodicExponential": lambda grad_width=0.5, grad_scale=1.0: smooth.PeriodicExponential(
        grad_width, grad_scale
    ),
    "sinabs.Gaussian": lambda mu=0.0, sigma=0.5, grad_scale=1.0: smooth.Gaussian(
        mu, sigma, grad_scale
    ),
    "sinabs.MultiGaussian": lambda mu=0.0, sigma=0.5, h=0.15, s=6.0, grad_scale=1.0: (
        smooth.MultiGaussian(mu, sigma, h, s, grad_scale)
    ),
    "sinabs.Heaviside": lambda window=1.0: piecewise.Heaviside(window),
    "slayer.exponential": lambda tau_grad=1.0, scale_grad=1.0: smooth.Exponential(
        width=100.0 * tau_grad, scale=0.05 * scale_grad
    ),
}


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


_MAKERS: dict[str, Callable[..., Surrogate]] = {c.__name__: c for c in _OWN} | _PEERS
_BY_PLAIN_NAME = {_plain(name): name for name in _MAKERS}


def names() -> tuple[str, ...]:
    """All names that `by_name` knows: the classes here, then "library.name" for other libraries."""
    return tuple(_MAKERS)


def by_name(name: str, *args: int | float, **params: int | float) -> Surrogate:
    """Make a surrogate from its name.

    Args:
        name: The name of a class here, or "library.name" with library one of spikingjelly,
            snntorch, norse, sinabs and slayer. Upper and lower case, "_" and "-" make no
            difference. It may carry its arguments, as in "ATan(alpha=3.0)": what `repr` wrote is
            read back.
        *args: Parameters by position.
        **params: Parameters by name. "library.name" takes the library's parameters and defaults.

    Raises:
        ValueError: If the name is unknown (the message lists all, the nearest first), the text in
            parentheses is not a list of numbers, or a value is out of its range.
        TypeError: If a parameter is unknown or missing.

    Example:
        >>> from neurojax import surrogate
        >>> surrogate.by_name("fast_sigmoid", slope=10)
        FastSigmoid(slope=10.0)
        >>> surrogate.by_name("spikingjelly.SuperSpike", alpha=2.0)
        SuperSpike(alpha=1.0, scale=2.0)
        >>> surrogate.by_name("ATan(alpha=3.0)")
        ATan(alpha=3.0)
    """
    if "(" in name:
        if args or params:
            raise TypeError(f"by_name: {name!r} has its arguments in the text; give no others.")
        name, args, params = _parse(name)
    known = _BY_PLAIN_NAME.get(_plain(name))
    if known is None:
        raise ValueError(
            f"by_name: there is no surrogate {name!r}. Known, the nearest first: "
            + ", ".join(_nearest_first(name))
        )
    maker = _MAKERS[known]
    signature = inspect.signature(maker)
    try:
        signature.bind(*args, **params)
    except TypeError as error:
        legal = ", ".join(str(parameter) for parameter in signature.parameters.values())
        raise TypeError(f"by_name: {known} takes ({legal}): {error}.") from None
    return maker(*args, **params)


def _parse(text: str) -> tuple[str, tuple[int | float, ...], dict[str, int | float]]:
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call):
            raise ValueError("not a call")
        args = tuple(ast.literal_eval(value) for value in call.args)
        params = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    except (SyntaxError, ValueError) as error:
        raise ValueError(
            f"by_name: cannot read {text!r} ({error}); write it like 'ATan(alpha=2.0)'."
        ) from None
    return ast.unparse(call.func), args, params


def _nearest_first(name: str) -> list[str]:
    def distance(candidate: str) -> float:
        # A bare name is also near to the last part of "library.name".
        parts = (candidate, candidate.rpartition(".")[2])
        return -max(difflib.SequenceMatcher(None, _plain(name), _plain(p)).ratio() for p in parts)

    return sorted(_MAKERS, key=distance)

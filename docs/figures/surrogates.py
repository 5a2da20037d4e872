"""Draw docs/images/surrogates.png: every surrogate derivative beside the step it stands in for.

Run `python docs/figures/surrogates.py [file]` from the repository's root.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from neurojax import surrogate as sg

# One family a row, gently tuned where the default would leave the common axes.
FAMILIES = {
    ("long tails", "#0072b2"): [
        sg.SuperSpike(),
        sg.FastSigmoid(slope=10),
        sg.SoftSign(),
        sg.NonzeroSignLogAbs(),
        sg.QPseudoSpike(),
        sg.ATan(),
        sg.Circ(alpha=0.5),
        sg.S2NN(),
    ],
    ("short tails", "#009e73"): [
        sg.Sigmoid(),
        sg.Tanh(alpha=2),
        sg.Gaussian(),
        sg.MultiGaussian(),
        sg.Erf(),
        sg.Exponential(scale=0.5),
        sg.PiecewiseExponential(alpha=2),
        sg.SpikeRateEscape(beta=2, slope=1),
    ],
    ("windows, waves", "#d55e00"): [
        sg.Triangle(),
        sg.PiecewiseQuadratic(),
        sg.Boxcar(),
        sg.Rect(),
        sg.PiecewiseLeakyReLU(leak=0.1),
        sg.FakeNumericalGradient(height=1),
        sg.SquareWaveFourier(terms=1),
        sg.PeriodicExponential(),
    ],
    ("one-sided, flat", "#b3487f"): [
        sg.LeakyKReLU(leak=0.2),
        sg.LogTailedReLU(),
        sg.SparseFastSigmoid(slope=1, cutoff=0),
        sg.Heaviside(),
        sg.SpikeGate(),
        sg.StraightThrough(),
        sg.NoGradient(),
        sg.SnnTorchTriangular(height=0.25),
    ],
}
LIMIT = 2.2


def draw(path: Path) -> None:
    """Write the picture to `path`."""
    plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 8})
    panels = [(s, colour) for (_, colour), family in FAMILIES.items() for s in family]
    figure, axes = plt.subplots(4, 8, figsize=(14, 7.2), sharex=True, sharey=True)
    # An even number of points straddles the jumps at 0, ±0.5 and ±1.
    u = np.linspace(-LIMIT, LIMIT, 4400, dtype=np.float32)
    for axis, (surrogate, colour) in zip(axes.flat, panels, strict=True):
        g = np.asarray(surrogate.derivative(u))
        axis.axhline(0, color="0.88", linewidth=0.7, zorder=0)
        axis.plot(u, u >= 0, color="0.72", linewidth=1.1)
        axis.fill_between(u, 0, g, color=colour, alpha=0.15, linewidth=0)
        axis.plot(u, g, color=colour, linewidth=1.7)
        name, _, parameters = repr(surrogate).rstrip(")").partition("(")
        axis.set_title(name, fontsize=8.8, fontweight="bold", loc="left", pad=13)
        parameters = parameters.replace(".0,", ",").removesuffix(".0").replace("=", " ")
        if len(parameters) > 34:
            parameters = ", ".join(parameters.split(", ")[:2]) + ", …"
        axis.text(0, 1.03, parameters, transform=axis.transAxes, fontsize=7.2, color="0.4")
    for axis in axes.flat:
        axis.set(xlim=(-LIMIT, LIMIT), ylim=(-0.32, 1.2), xticks=[-2, -1, 0, 1, 2])
        axis.set_yticks([0, 0.5, 1], ["0", "½", "1"])
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color("0.6")
        axis.tick_params(color="0.6", labelcolor="0.3", length=2.5)
    for (family, colour), axis in zip(FAMILIES, axes[:, 0], strict=True):
        axis.set_ylabel(family, color=colour, fontsize=9.5, fontweight="bold", labelpad=8)
    figure.supxlabel(
        "u = membrane potential − threshold      "
        "grey: the spike      colour: its surrogate derivative",
        fontsize=9.5,
        y=0.012,
    )
    figure.tight_layout(rect=(0, 0.01, 1, 1), h_pad=1.0, w_pad=0.7)
    figure.savefig(path, dpi=130, facecolor="white")


if __name__ == "__main__":
    default = Path(__file__).parents[1] / "images" / "surrogates.png"
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else default)

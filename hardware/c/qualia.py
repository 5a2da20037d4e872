"""C code by the name and with the options of Qualia's post-processing, `QualiaCodeGen`.

What it does is `neurojax.chips.mcu.map` and `configure`; new code should call these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neurojax._network import Network
from neurojax.chips import MappedNetwork
from neurojax.chips.mcu import LayerRange, map as map_network, number_of
from neurojax.chips.mcu.spec import COMPATS
from neurojax.hardware.c._options import TimestepMode, check_options
from neurojax.hardware.c.program import Program, configure


class QualiaCodeGen:
    """A network as C code in `<outdir>/<name>_q<quantize>/`.

    There are three ways to call it:

    - `QualiaCodeGen("int8")(network, "gestures", calibration=inputs)`, the short one;
    - `convert(framework, model, model_name, representative_dataset)`, as Qualia does;
    - step by step, `convert_model_to_modelgraph` and `convert_modelgraph_to_c`.

    Args:
        quantize: `"float32"`, `"int16"` (sums of 32 bits) or `"int8"` (sums of 16 bits).
        long_width: Other width of the sums: 8, 16 or 32 bits. (64, which Qualia's code can have, is
            refused: the simulation sums up in 32.)
        outdir: Default: `out/qualia_codegen`.
        metrics: What the command-line program prints, of "acc", "corr", "mae", "mape", "mse" and
            "slope"; default: accuracy.
        model_name: Name of the function in C.
        dump_featuremaps: The command-line program writes the outputs of all layers as files.
        timestep_mode: A sample is one frame that is shown in every time step ("duplicate"), or one
            for each ("iterate").
        timesteps: Time steps of a sample; default: those of the calibrating inputs, or 1. Qualia
            takes them from its models' input shape.
        compat: `"qualia"`: with the defects of Qualia's code in the leak and the start of neurons.

    Raises:
        ValueError: An option is none of those above.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from tempfile import mkdtemp
        >>> from neurojax.hardware.c import QualiaCodeGen
        >>> net = nj.Sequential((2,), fc=nj.Linear.from_weights(jnp.array([[0.5, -0.25]])),
        ...                     spikes=nj.IAF(threshold=0.5))
        >>> codegen = QualiaCodeGen("int16", outdir=mkdtemp())
        >>> _ = codegen(net, "demo", calibration=jnp.ones((4, 1, 2)))
        >>> codegen.directory.name, sorted(path.name for path in codegen.directory.glob("*.c"))
        ('demo_qint16', ['cnn_fc.c', 'cnn_spikes.c', 'model.c'])
    """

    def __init__(
        self,
        quantize: str,
        long_width: int | None = None,
        outdir: str | Path | None = None,
        metrics: Sequence[str] | None = None,
        model_name: str = "cnn",
        dump_featuremaps: bool = False,
        timestep_mode: TimestepMode = "duplicate",
        *,
        timesteps: int | None = None,
        compat: str | None = None,
    ) -> None:
        number_of(quantize, long_width)  # refuses what it does not know
        if compat not in COMPATS:
            raise ValueError(f"compat is {compat!r}; use None or 'qualia'")
        self.quantize = quantize
        self.long_width = long_width
        self.outdir = Path("out") / "qualia_codegen" if outdir is None else Path(outdir)
        metrics = ("acc",) if metrics is None else metrics
        metrics = (metrics,) if isinstance(metrics, str) else tuple(metrics)
        check_options(model_name, 1 if timesteps is None else timesteps, timestep_mode, metrics)
        self.options: dict[str, Any] = {
            "model_name": model_name,
            "timestep_mode": timestep_mode,
            "dump_featuremaps": dump_featuremaps,
            "metrics": metrics,
        }
        self.timesteps = timesteps
        self.compat = compat
        self.name: str | None = None
        self.program: Program | None = None

    @property
    def directory(self) -> Path | None:
        """Where the files are; None before a network was converted."""
        return None if self.name is None else self.outdir / self.name

    @property
    def h(self) -> str | None:
        """The text of `full_model.h`, all of the code in one file; None before."""
        return None if self.program is None else self.program.core["full_model.h"]

    def __call__(
        self,
        network: Network,
        name: str,
        *,
        calibration: Any = None,
        ranges: Mapping[str, LayerRange] | str | Path | None = None,
    ) -> QualiaCodeGen:
        """Write the code of a network.

        Args:
            network: Not mapped yet. Models of other libraries come in by
                `neurojax.converters.from_torch`.
            name: Of the folder, without the number type.
            calibration: Typical inputs `[time, batch, *shape]`, from which the scales of integers
                are taken. As `neurojax.simulate` takes them.
            ranges: Or the scales themselves, such as the path of a file
                `<model>_activations_range.txt`.

        Returns:
            Itself; `program`, `h` and `directory` hold what was made.

        Raises:
            MappingError: A network that the code can't compute, with every reason.
            TypeError: Something else than a network.
            ValueError: Integers without scales, or scales given twice.
        """
        mapped = self.convert_model_to_modelgraph(network, calibration=calibration, ranges=ranges)
        timesteps = self.timesteps
        if timesteps is None and calibration is not None:
            arrays = calibration.values() if isinstance(calibration, Mapping) else [calibration]
            timesteps = len(next(iter(arrays)))
        self._write(mapped, self.outdir / f"{name}_q{self.quantize}", timesteps)
        self.name = f"{name}_q{self.quantize}"
        return self

    def convert(
        self,
        framework: Any,
        model: Network,
        model_name: str,
        representative_dataset: Any = None,
    ) -> QualiaCodeGen:
        """Qualia's form of the call.

        Args:
            framework: Not used; may be None.
            model: The network.
            model_name: Name of the folder, without the number type.
            representative_dataset: Typical inputs `[time, batch, *shape]`. Without them, integers
                take their scales from `out/learningmodel/<model_name>_activations_range.txt`,
                where Qualia leaves them.
        """
        del framework
        ranges = None
        if representative_dataset is None and self.quantize != "float32":
            ranges = Path("out") / "learningmodel" / f"{model_name}_activations_range.txt"
        return self(model, model_name, calibration=representative_dataset, ranges=ranges)

    def convert_model_to_modelgraph(
        self,
        model: Network,
        *,
        calibration: Any = None,
        ranges: Mapping[str, LayerRange] | str | Path | None = None,
    ) -> MappedNetwork:
        """The network in the numbers of the code: `neurojax.chips.mcu.map`."""
        if not isinstance(model, Network):
            raise TypeError(
                f"QualiaCodeGen takes a Network, got {type(model).__name__}; bring models of other "
                "libraries with neurojax.converters, such as from_torch(model, sample)"
            )
        return map_network(
            model,
            quantize=self.quantize,
            long_width=self.long_width,
            calibration=calibration,
            ranges=ranges,
            compat=self.compat,
        )

    def convert_modelgraph_to_c(self, modelgraph: MappedNetwork, output_path: str | Path) -> str:
        """Write the code of a mapped network into a folder; the text of `full_model.h`."""
        return self._write(modelgraph, Path(output_path), self.timesteps).core["full_model.h"]

    def _write(self, mapped: MappedNetwork, folder: Path, timesteps: int | None) -> Program:
        program = configure(mapped, timesteps=1 if timesteps is None else timesteps, **self.options)
        program.save(folder)
        self.program = program
        return program

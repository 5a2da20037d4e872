"""The files of the core: what they include, that they compile alone, what they weigh."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips.mcu import IF, Add, Dense, Format, Quantise, number_of
from neurojax.hardware.c import Program, configure
from tests.hardware.c._driver import (
    WARNINGS,
    as_mapped,
    compiler,
    program_of,
    run_all,
    simulated,
)
from tests.hardware.c._every import images, sequences

NUMBERS = {name: number_of(name) for name in ("int8", "int16", "float32")}
# What a freestanding compiler may call of its own accord (GCC manual, "Language Standards").
ALLOWED = {"memcpy", "memmove", "memset", "memcmp"}


def written(program: Program, folder: Path) -> Path:
    for path, text in program.core.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def compiled(source: Path, *flags: str) -> Path:
    target = source.with_suffix(".o")
    command = [compiler(), *WARNINGS, *flags, "-c", str(source), "-o", str(target)]
    subprocess.run(command, check=True)
    return target


def symbols(path: Path) -> dict[str, tuple[str, int]]:
    """Kind and bytes of each symbol of an object file."""
    text = subprocess.run(
        ["nm", "-S", str(path)], check=True, capture_output=True, text=True
    ).stdout
    found = {}
    for line in text.splitlines():
        *numbers, kind, name = line.split()
        found[name] = (kind, int(numbers[1], 16) if len(numbers) == 2 else 0)
    return found


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("build", [images, sequences])
def test_core_needs_no_library(name: str, build, tmp_path: Path) -> None:
    program = configure(as_mapped(build(NUMBERS[name]), NUMBERS[name]), model_name="net")
    included = set()
    for path, text in program.core.items():
        local = re.findall(r'#include "(.*)"', text)
        assert all(str(Path(path).parent / other) in program.core for other in local), path
        included |= set(re.findall(r"#include <(.*)>", text))
        assert not re.search(r"\b(malloc|free|printf|float|double)\b", text) or name == "float32"
        assert text.isascii() and text.endswith("\n") and "@" not in text
        assert max(map(len, text.splitlines())) <= 120, path
    assert included == {"stdint.h"}
    folder = written(program, tmp_path)
    freestanding = ["-ffreestanding", "-nostdlib", "-fkeep-static-consts", "-O0"]
    found = symbols(compiled(folder / "model.c", *freestanding))
    assert {n for n, (kind, _) in found.items() if kind == "U"} <= ALLOWED
    assert {n for n, (kind, _) in found.items() if kind == "T"} == {"net", "net_reset"}
    # The compiler's sizes are those that the program states.
    size = program.size
    ram = sum(n for kind, n in found.values() if kind in "bBdD")
    assert ram - ("net_started" in found) == size.state + size.activations
    assert sum(n for kind, n in found.values() if kind in "rR") == size.weights
    (folder / "single.c").write_text('#include "full_model.h"\n')
    single = symbols(compiled(folder / "single.c", *freestanding))
    assert single == found


def test_sizes_of_a_chain() -> None:
    """By hand: 6 inputs, 4 and 3 neurons; the buffer of the first layer is the neurons', too."""
    number = number_of("int16")
    form = Format(number, weights_q=4, output_q=4)
    network = nj.Sequential(
        (6,),
        quantise=Quantise(format=form),
        fc1=Dense(np.ones((4, 6)), np.ones(4), format=form, input_q=4),
        if1=IF(format=form, input_q=4),
        fc2=Dense(np.ones((3, 4)), format=form, input_q=4),
        if2=IF(format=form, input_q=4),
    )
    program = configure(as_mapped(network, number))
    size = program.size
    assert size.weights == 2 * (24 + 4 + 1 + 12 + 1)
    assert size.state == 2 * (4 + 3)
    assert size.activations == 2 * (4 + 3)  # fc1, then if1 in its place; fc2
    assert (size.input, size.output) == (12, 6)
    assert size.flash == 84 and size.ram == 14 + 14 + 12 + 6
    assert repr(program) == "Program(cnn: fc1, if1, fc2, if2)"


HOSTILE = ["*/ int x; /*", "if", "IF", "é", "a.b", "a_b", 'q"\\n', "@name@", "reset", "buffer0"]


def test_any_name_of_a_layer_compiles(tmp_path: Path) -> None:
    number = number_of("int8")
    form = Format(number, weights_q=3, output_q=3)
    layers = {"main": Quantise(format=form)}
    layers |= {name: Dense(np.eye(2), np.ones(2), format=form, input_q=3) for name in HOSTILE}
    network = nj.Sequential((2,), **layers)
    program = configure(as_mapped(network, number), dump_featuremaps=True)
    assert len({path.casefold() for path in program.core}) == len(program.core)
    found = symbols(compiled(written(program, tmp_path) / "model.c"))
    assert {n for n, (kind, _) in found.items() if kind == "U"} - ALLOWED == {"neurojax_dump"}


def test_two_models_in_one_program(tmp_path: Path) -> None:
    """Nothing but the two functions has a name outside of a model's file."""
    number = number_of("int8")
    objects = []
    for name in ("first", "second"):
        program = configure(as_mapped(sequences(number), number), model_name=name)
        (tmp_path / name).mkdir()
        objects.append(compiled(written(program, tmp_path / name) / "model.c"))
    main = tmp_path / "main.c"
    main.write_text(
        "void first_reset(void);\nvoid second_reset(void);\n"
        "int main(void)\n{\n  first_reset();\n  second_reset();\n  return 0;\n}\n"
    )
    target = tmp_path / "both"
    subprocess.run([compiler(), "-o", target, main, *objects], check=True)
    subprocess.run([target], check=True)


def test_networks_are_mapped_before() -> None:
    with pytest.raises(TypeError, match=r"what neurojax\.chips\.mcu\.map returned, got Network"):
        configure(nj.Sequential((2,), n=nj.IAF()))  # type: ignore[arg-type]


def test_what_has_no_c_is_refused_at_once() -> None:
    number = number_of("int8")
    form = Format(number, weights_q=3, output_q=3)
    layers = {
        "quantise": Quantise(format=form),
        "fc": Dense(np.eye(2), format=form, input_q=3),
        "other": IF(format=form._replace(number=number_of("int16")), input_q=3),
        "float": nj.LIF(tau=2.0),
    }
    edges = [("input", "quantise"), ("quantise", "fc"), ("fc", "other"), ("input", "float")]
    edges += [nj.Edge("other", "fc", recurrent=True), ("float", "other")]
    network = nj.Network(layers, edges, inputs=(2,), outputs=["other", "fc"])
    with pytest.raises(ValueError) as error:
        configure(as_mapped(network, number))
    text = str(error.value)
    for words in (
        "outputs other, fc; the C function gives one",
        "edge other ~> fc is recurrent",
        "layer 'float' is a LIF, which has no C",
        "layer 'float' is fed by 'input'",
        "layer 'other' has 2 incoming edges",
        "the C code has one kind of number",
    ):
        assert words in text
    two = nj.Network(
        {
            "a": Quantise(format=form),
            "b": Quantise(format=form),
            "+": Add(input_qs=(3, 3), format=form),
        },
        [("x", "a"), ("y", "b"), ("a", "+"), ("b", "+")],
        inputs={"x": (2,), "y": (2,)},
    )
    with pytest.raises(ValueError, match="it has inputs x, y; the C function takes one") as error:
        configure(as_mapped(two, number))
    assert "must go through one Quantise" in str(error.value)


def test_networks_that_compute_nothing(tmp_path: Path) -> None:
    """The input is the output, in the order of C; flattening and turning are no computation."""
    number = number_of("int8")
    form = Format(number, output_q=3)
    chains = [{}, {"flat": nj.layers.Flatten()}, {"turned": nj.layers.Permute((1, 2, 0))}]
    networks = [nj.Sequential((2, 3, 4), quantise=Quantise(format=form), **c) for c in chains]
    programs = [program_of(network, number, k) for k, network in enumerate(networks)]
    x = np.random.default_rng(0).integers(-128, 128, (2, 1, 2, 3, 4))
    for values, program in zip(run_all(programs, [x] * 3, tmp_path), programs, strict=True):
        np.testing.assert_array_equal(values[-1], simulated(program, x)[-1])


def test_a_network_that_was_trained_to_death_is_refused() -> None:
    form = Format(number_of("float32"))
    network = nj.Sequential((2,), quantise=Quantise(format=form), fc=Dense(np.eye(2), format=form))
    broken = jax.tree.map(lambda x: x * jnp.nan, network)
    with pytest.raises(ValueError, match="layer 'fc': weight holds 4 of 4 values that are NaN"):
        configure(as_mapped(broken, form.number))


def test_a_trained_network_is_written_as_it_is() -> None:
    """Array parameters, as training leaves them; not only constants."""
    number = number_of("int8")
    form = Format(number, weights_q=4, output_q=3)
    network = nj.Sequential(
        (2,),
        quantise=Quantise(format=form),
        fc=Dense(np.eye(2), format=form, input_q=3),
        spikes=IF(threshold=jnp.asarray(1.03), format=form, input_q=3),
    )
    network = jax.tree.map(lambda x: x * 1.5, network)
    core = configure(as_mapped(network, number)).core
    assert "threshold = 24;" in core["weights/cnn_spikes.c"]
    assert "24, 0," in core["weights/cnn_fc.c"]

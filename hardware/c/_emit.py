"""The files of the core: the model, its headers, a file a layer, and all of it in one header."""

from __future__ import annotations

import re

from neurojax._layer import Layer
from neurojax._table import shape_text
from neurojax.hardware.c._arithmetic import ROUND_MODES, number_header, types
from neurojax.hardware.c._functions import Function, function_of
from neurojax.hardware.c._plan import Plan, Shown, Value
from neurojax.hardware.c._text import c_string, comment, fill, template


def functions(plan: Plan, model_name: str) -> dict[str, Function]:
    """The C function of each call, by the call's name."""
    names = c_names(plan, model_name)
    return {call.name: function_of(call, names[call.name]) for call in plan.calls}


def c_names(plan: Plan, model_name: str) -> dict[str, str]:
    """What the function of each call is called."""
    return {name: f"{model_name}_{ident}" for name, ident in plan.idents.items()}


def core_files(
    plan: Plan, *, model_name: str, timesteps: int, timestep_mode: str, dump: bool
) -> dict[str, str]:
    """Text of each file, by its path.

    Args:
        plan: What to compute.
        model_name: Prefix of all names.
        timesteps, timestep_mode: What the host program is told.
        dump: Whether every layer hands its output to `neurojax_dump`.
    """
    names = c_names(plan, model_name)
    number = plan.input.format.number
    common = types(number) | {"model": model_name, "MODEL": model_name.upper()}
    files = {"include/number.h": number_header(number)}
    for call, function in zip(plan.calls, functions(plan, model_name).values(), strict=True):
        name = names[call.name]
        values = common | {
            "name": name,
            "NAME": name.upper(),
            "about": f"{comment(call.name)}: {comment(_about(call.layer))}.",
            "output_about": _about_value(call.output),
            "values": call.output.layout.size,
            "functions": function.code,
            "weights_include": f'#include "weights/{name}.c"' if function.weights else "",
        }
        files[f"include/{name}.h"] = fill(template("layer.h"), values)
        files[f"{name}.c"] = fill(template("layer.c"), values)
        if function.weights:
            head = f"/* {values['about']} Its constants. */\n#include <stdint.h>\n\n"
            files[f"weights/{name}.c"] = head + function.weights
    files["include/defines.h"] = fill(
        template("defines.h"), common | _defines(plan, timesteps, timestep_mode)
    )
    files["include/model.h"] = fill(
        template("model.h"),
        common
        | {
            "output_header": f"{names[plan.output.name]}.h",
            "output_type": f"{names[plan.output.name]}_output_type",
            "input_about": _about_value(plan.input),
            "output_about": _about_value(plan.output),
        },
    )
    if dump:
        files["include/dump.h"] = template("dump.h")
    files["model.c"] = fill(template("model.c"), common | _model(plan, model_name, dump))
    files = {path: _tidy(text) for path, text in files.items()}
    return files | {"full_model.h": _single_file(files, model_name)}


def _model(plan: Plan, model_name: str, dump: bool) -> dict[str, object]:
    """What `model.c` consists of."""
    names = c_names(plan, model_name)
    places = {plan.input.name: "input", plan.output.name: "output"}
    buffers = []
    for number, buffer in enumerate(plan.buffers):
        lines = []
        for array in buffer.arrays:
            lines.append(f"  {names[array]}_output_type {names[array]};")
            places[array] = f"{model_name}_buffer{number}.{names[array]}"
        members = "\n".join(lines)
        buffers.append(f"static union {{\n{members}\n}} {model_name}_buffer{number};")
    if buffers:
        head = "/* What layers write into; those of a union are never needed at the same time. */"
        buffers.insert(0, head)
    resets = [f"{names[call.name]}_reset();" for call in plan.calls if call.neurons]
    dumps: dict[str, list[str]] = {name: [] for name in places}
    for layer in plan.shown if dump else ():
        dumps[layer.value.name].append(_dump(layer, places[layer.value.name]))
    calls = dumps[plan.input.name]
    for call in plan.calls:
        arguments = [places[value.name] for value in (*call.inputs, call.output)]
        calls.append(f"{names[call.name]}({', '.join(arguments)});")
        calls += dumps[call.output.name]
    started, start = "", ""
    if any(call.starts_elsewhere for call in plan.calls):
        # Zeros need no code: static variables are zero.
        started = f"static int8_t {model_name}_started;\n\n"
        resets.append(f"{model_name}_started = 1;")
        start = f"if (!{model_name}_started) {{\n  {model_name}_reset();\n}}"
    return {
        "dump_include": '#include "include/dump.h"' if dump else "",
        "layer_includes": "\n".join(f'#include "{names[call.name]}.c"' for call in plan.calls),
        "buffers": "\n".join(buffers),
        "started": started,
        "resets": "\n".join(resets),
        "start": start,
        "calls": "\n".join(calls),
    }


def _dump(shown: Shown, place: str) -> str:
    """The call that hands over what a layer gives."""
    form, shape = shown.value.format, shown.value.layout.c_shape or (1,)
    kind = c_string(type(shown.layer).__name__)
    bits, q = (0, 0) if form.number.real else (form.number.bits, form.output_q)
    return (
        "{\n"
        f"  static const int32_t shape[] = {{{', '.join(map(str, shape))}}};\n\n"
        f"  neurojax_dump({c_string(shown.name)}, {kind}, {bits}, {q},\n"
        f"                {len(shape)}, shape, {place});\n"
        "}"
    )


def _defines(plan: Plan, timesteps: int, timestep_mode: str) -> dict[str, object]:
    """What `defines.h` says."""
    values: dict[str, object] = {
        "is_real": int(plan.input.format.number.real),
        "timesteps": timesteps,
        "timestep_mode": timestep_mode.upper(),
    }
    for side, value in (("input", plan.input), ("output", plan.output)):
        form, shape = value.format, value.layout.c_shape or (1,)
        values[f"{side}_product"] = value.layout.size
        values[f"{side}_scale"] = 0 if form.number.real else form.output_q
        values[f"{side}_mode"] = ROUND_MODES[form.output_round]
        low, high = form.number.limits
        limits = f"#define MODEL_@S@_MIN ({low})\n#define MODEL_@S@_MAX {high}"
        values[f"{side}_limits"] = "" if form.number.real else limits.replace("@S@", side.upper())
        dims = [f"#define MODEL_{side.upper()}_DIM_{i} {n}" for i, n in enumerate(shape)]
        values[f"{side}_dims"] = "\n".join(dims)
        values[f"{side}_samples"] = shape[-1]
    if plan.input.format.number.real:
        values |= {"input_mode": "ROUND_MODE_NONE", "output_mode": "ROUND_MODE_NONE"}
    return values


def _about(layer: Layer | None) -> str:
    return "values in another order" if layer is None else layer.describe()


def _about_value(value: Value) -> str:
    form, shape = value.format, value.layout.c_shape
    order = ", channels last" if len(shape) > 1 else ""
    if not value.layout.is_channels_last:
        order = ", in the order of the image, channels last, from which they were flattened"
    unit = "real numbers" if form.number.real else f"integers / 2^{form.output_q}"
    return f"{shape_text(shape)} {unit}{order}"


def _single_file(files: dict[str, str], model_name: str) -> str:
    """All files in one, in the order in which `model.c` includes them."""
    seen: set[str] = set()

    def inline(path: str) -> str:
        folder = path.rpartition("/")[0]

        def included(match: re.Match[str]) -> str:
            target = f"{folder}/{match[1]}" if folder else match[1]
            if target in seen:
                return ""
            seen.add(target)
            return inline(target)

        text = files[path].replace("#include <stdint.h>\n", "")
        return re.sub(r'^#include "(.+)"\n', included, text, flags=re.M)

    guard = f"NEUROJAX_{model_name.upper()}_FULL_MODEL_H"
    head = f"/* {model_name}: the whole model in one file; include it in one source file. */"
    opening = f"#ifndef {guard}\n#define {guard}\n\n#include <stdint.h>\n"
    return _tidy("\n".join([head, opening, inline("model.c"), "#endif"]))


def _tidy(text: str) -> str:
    """One empty line at most, none at the end."""
    return re.sub(r"\n{3,}", "\n\n", text).rstrip("\n") + "\n"

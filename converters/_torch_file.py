"""Files of named tensors: PyTorch's `.pt`/`.pth`, `.safetensors` and NumPy's `.npz`.

Files come from strangers. Nothing in them is executed, and whatever is wrong with one becomes one
sentence.
"""

from __future__ import annotations

import json
import math
import os
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

SAFE_TORCH = (2, 6)
"""Before it, `torch.load(weights_only=True)` could be made to run code (CVE-2025-32434)."""

NESTED = ("state_dict", "model_state_dict", "model", "module", "net", "params")
"""Where training scripts put the state dict in a checkpoint."""

# https://github.com/huggingface/safetensors, "Format"
_SAFETENSORS = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": jnp.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
_LONGEST_HEADER = 100_000_000  # bytes; what the reference implementation allows


def load_state_dict(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the named tensors of a file, without executing anything in it.

    Args:
        path: A state dict saved with `torch.save` (also within a checkpoint, under `"state_dict"`
            or the like), a `.safetensors` file, or an `.npz` of arrays.

    Returns:
        Arrays by name, in the order of the file. Entries that are no numbers are left out.

    Raises:
        FileNotFoundError: There is no such file.
        IsADirectoryError: It is a folder.
        ValueError: It is none of these files, is damaged, holds Python objects or no tensors.

    Example:
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from tempfile import mkdtemp
        >>> from neurojax.converters._torch_file import load_state_dict
        >>> path = Path(mkdtemp()) / "weights.npz"
        >>> np.savez(path, **{"fc.weight": np.ones((2, 3))})
        >>> {name: array.shape for name, array in load_state_dict(path).items()}
        {'fc.weight': (2, 3)}
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the file of the state dict")
    read = _reader(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the reader's own; a file can't be told to warn less
            found = read(path)
        arrays = {str(k): array_of(v) for k, v in _innermost(path, found).items() if _is_number(v)}
    except ImportError:
        raise
    except _Refused as error:
        raise ValueError(str(error)) from None
    except Exception as error:  # damaged bytes raise anything, from KeyError to MemoryError
        text = str(error).strip().split("\n")[0]
        raise ValueError(
            f"{path}: no file of tensors, or a damaged one ({type(error).__name__}: {text})"
        ) from None
    if not arrays:
        raise ValueError(f"{path}: there are no tensors in it")
    return arrays


def array_of(value: Any) -> np.ndarray:
    """A tensor of PyTorch, or anything else like an array, as a NumPy array of the same type."""
    if not hasattr(value, "detach"):
        return np.asarray(value)
    tensor = value.detach()
    if tensor.layout != _torch().strided or tensor.is_quantized or tensor.is_meta:
        raise ValueError("it holds sparse, quantised or empty (meta) tensors; save dense ones")
    tensor = tensor.cpu().resolve_conj().resolve_neg()
    if tensor.dtype == _torch().bfloat16:  # which NumPy does not have
        return tensor.contiguous().view(_torch().int16).numpy().view(jnp.bfloat16)
    return tensor.numpy()


class _Refused(ValueError):
    """What is wrong is known, and said."""


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            'files of PyTorch are read with PyTorch: pip install "neurojax[torch]"'
        ) from error
    return torch


def _reader(path: Path) -> Any:
    with path.open("rb") as file:
        start = file.read(9)
    if path.suffix == ".safetensors" or start[8:] == b"{":
        return _read_safetensors
    # PyTorch writes zip files too.
    return _read_npz if path.suffix == ".npz" or _is_npz(path) else _read_torch


def _is_npz(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as file:
            return all(name.endswith(".npy") for name in file.namelist())
    except Exception:
        return False


def _read_npz(path: Path) -> Mapping[str, Any]:
    with path.open("rb") as file:  # np.load would leave a damaged one open
        found = np.load(file, allow_pickle=False)
        if not isinstance(found, Mapping):
            raise _Refused(f"{path}: it holds one array without a name; save with numpy.savez")
        return dict(found)


def _read_torch(path: Path) -> Any:
    torch = _torch()
    if tuple(int(n) for n in torch.__version__.split(".")[:2]) < SAFE_TORCH:
        raise _Refused(
            f"{path}: PyTorch {torch.__version__} can be made to run code by such a file; update "
            f"it to {'.'.join(map(str, SAFE_TORCH))} or later, or save as .safetensors or .npz"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        text = str(error)
        found = re.search(r"(?:Unsupported global: GLOBAL|GLOBAL) (\S+)", text)
        if found is not None:
            raise _Refused(
                f"{path}: it holds Python objects ({found[1]}), not only tensors, and reading "
                "them could run code. If a whole module was saved: where you trust the file, load "
                "it with PyTorch and save torch.save(module.state_dict(), path)"
            ) from None
        if "TorchScript" in text:
            raise _Refused(
                f"{path}: it is a TorchScript archive; save the state dict instead: "
                "torch.save(torch.jit.load(path).state_dict(), new_path)"
            ) from None
        raise


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, _LONGEST_HEADER):
        raise _Refused(f"{path}: no safetensors file, or a truncated one")
    header = json.loads(data[8 : 8 + length])
    body = memoryview(data)[8 + length :]
    found = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype, shape = np.dtype(_SAFETENSORS[entry["dtype"]]), tuple(entry["shape"])
        first, last = entry["data_offsets"]
        whole = all(type(n) is int and n >= 0 for n in (*shape, first, last))
        if not whole or last > len(body) or last - first != dtype.itemsize * math.prod(shape):
            raise _Refused(f"{path}: the place of '{name}' in the file does not fit its shape")
        found[name] = np.frombuffer(body[first:last], dtype).reshape(shape)
    return found


def _innermost(path: Path, found: Any) -> Mapping[Any, Any]:
    """The state dict of a checkpoint that holds other things too."""
    if not isinstance(found, Mapping):
        raise _Refused(
            f"{path}: it holds a {type(found).__name__}, not tensors by name; save "
            "module.state_dict()"
        )
    for _ in range(3):
        if any(_is_array(value) for value in found.values()):
            return found
        inner = [name for name in NESTED if isinstance(found.get(name), Mapping)]
        if not inner:
            break
        found = found[inner[0]]
    return found


def _is_array(value: Any) -> bool:
    return hasattr(value, "detach") or isinstance(value, np.ndarray)


def _is_number(value: Any) -> bool:
    return _is_array(value) or isinstance(value, int | float | np.generic)

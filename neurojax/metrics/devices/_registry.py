"""Devices by name, the user's own included."""

from __future__ import annotations

from neurojax._graph import nearest
from neurojax.metrics.devices import bss2, loihi, processors, speck
from neurojax.metrics.devices._constant import Constant
from neurojax.metrics.devices._device import CONNECTIONS, EVENTS, POWER, UPDATES, Device

_BUILT_IN = (
    loihi.LOIHI,
    loihi.LOIHI2,
    speck.SPECK,
    speck.DYNAPCNN,
    bss2.BSS2,
    *processors.DEVICES,
)
_devices: dict[str, Device] = {device.name: device for device in _BUILT_IN}


def names() -> tuple[str, ...]:
    """All devices; some are there only to say why they have no numbers."""
    return tuple(_devices)


def device(name: str | Device) -> Device:
    """A device by name; print it to see its constants and where they come from.

    Args:
        name: One of `devices.names()`; a `Device` is returned as it is.

    Raises:
        ValueError: The name is unknown.

    Example:
        >>> from neurojax import metrics
        >>> print(metrics.device("odin"))  # doctest: +ELLIPSIS
        ODIN
        for              constant          node   kind      source
        ---...
        synaptic events  at least 12.7 pJ  28 nm  measured  Frenkel et al. 2018: minimum, at 0.55 V
    """
    if isinstance(name, Device):
        return name
    if name not in _devices:
        raise ValueError(
            f"device '{name}': {nearest(name, _devices)}; or register_device('{name}', ...)"
        )
    return _devices[name]


def register_device(
    name: str | Device,
    e_synop: float | Constant | None = None,
    e_neuron: float | Constant | None = None,
    spiking: bool = True,
    *,
    power: float | Constant | None = None,
    source: str = "registered by the user",
    title: str | None = None,
) -> Device:
    """Makes a device known by name, or takes the place of one that was.

    Args:
        name: Its name, or a whole `Device`, which is all that is needed then.
        e_synop: Joules of a synaptic event (of a connection, if it is not spiking), or a `Constant`
            with its source and range.
        e_neuron: Joules of a neuron's update in a time step.
        spiking: Works only where a spike arrives. If not, it computes every connection.
        power: Watts that it takes while it runs.
        source: Where numbers that are no `Constant` come from.
        title: Its name for people.

    Returns:
        The device.

    Raises:
        ValueError: No constant, a negative one, or a name that is empty.

    References:
        keras-spiking, `ModelEnergy.register_device(device_name, energy_per_synop,
        energy_per_neuron, spiking)`.

    Example:
        >>> from neurojax import metrics
        >>> metrics.register_device("my chip", 5e-12, 20e-12).energies["synaptic events"].text
        '5 pJ (range unknown)'
    """
    if isinstance(name, Device):
        _devices[name.name] = name
        return name
    if not name:
        raise ValueError("register_device: the name is empty")
    given = {(EVENTS if spiking else CONNECTIONS): e_synop, UPDATES: e_neuron, POWER: power}
    energies = {
        what: constant_of(value, what, source) for what, value in given.items() if value is not None
    }
    if not energies:
        raise ValueError(f"register_device('{name}'): give e_synop, e_neuron or power")
    made = Device(name, title or name, energies=energies, spiking=spiking)
    _devices[name] = made
    return made


def unregister_device(name: str) -> None:
    """Forgets a device; one that came with the library is as it was before."""
    device(name)
    built_in = {known.name: known for known in _BUILT_IN}
    del _devices[name]
    if name in built_in:
        _devices[name] = built_in[name]


def constant_of(value: float | Constant, what: str, source: str) -> Constant:
    """A constant of a number in joules or watts."""
    if isinstance(value, Constant):
        return value
    return Constant(float(value), "W" if what == POWER else "J", source)

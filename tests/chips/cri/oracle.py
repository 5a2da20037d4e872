"""CRI once more: one neuron and one synapse after the other, in Python's integers."""

LOWEST, HIGHEST = -(1 << 34), (1 << 34) - 1


def limited(n, bits=35):
    return max(-(1 << (bits - 1)), min((1 << (bits - 1)) - 1, n))


def wrapped(n, bits):
    return (n + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def int64(n):
    return wrapped(n, 64)


def hardware_noise(draw, shift, bits=35):
    """Sign and magnitude, as the RTL has them: p = {u, 1}, 17 bits."""
    u = draw % (1 << 16)
    p = 2 * u + 1
    sign, magnitude = p >> 16, p % (1 << 16)
    shifted = magnitude << shift if shift >= 0 else magnitude >> -shift
    return limited(-shifted if sign else shifted, bits) if bits else (-1) ** sign * shifted


def main_noise(draw, shift):
    odd = draw | 1
    return limited(int64(odd << shift)) if shift >= 0 else odd >> -shift


def simulator_quotient(v, leak, *, order):
    """V // 2^leak as NumPy's 64-bit integers have it."""
    divisor = {63: -(1 << 63), 64: 0}.get(leak, 1 << leak)
    if order == "dev":
        divisor = limited(divisor)
    return v // divisor if divisor else 0


class Chip:
    """Neurons with per-neuron lists of parameters, synapses `weights[source][target]`."""

    def __init__(self, axons, recurrent, delayed=None, **options):
        self.axons, self.recurrent, self.delayed = axons, recurrent, delayed
        self.n = len(options["theta"])
        plain = {
            "leak": [63] * self.n, "model": [2] * self.n, "shift": [-17] * self.n,
            "refractory": [0] * self.n, "soft": [0] * self.n, "delay": [0] * self.n,
            "strict": True, "order": "hardware", "overflow": "saturate", "bits": 35,
            "leak_bias": False,
        }  # fmt: skip
        self.__dict__.update(plain | options)
        self.v = [0] * self.n
        self.left = [0] * self.n
        self.past = []
        self.saturated = [0] * self.n

    def step(self, active, draws=None):
        """Spikes of a time step, of a list of 0 and 1, one an axon."""
        fired = [0] * self.n
        for i in range(self.n):
            self._update(i, fired, 0 if draws is None else draws[i])
        self.past.append(fired)
        for i in range(self.n):
            total = self.v[i]
            total += sum(w[i] for a, w in zip(active, self.axons, strict=True) if a)
            total += sum(w[i] for s, w in zip(fired, self.recurrent, strict=True) if s)
            if self.delayed is not None:
                for j, d in enumerate(self.delay):
                    if len(self.past) > d and self.past[-1 - d][j]:
                        total += self.delayed[j][i]
            if self.left[i]:
                self.v[i] = 0
                continue
            wraps = self.overflow == "wrap"
            self.v[i] = wrapped(total, self.bits) if wraps else limited(total, self.bits)
            self.saturated[i] += self.v[i] != total
        return fired

    def _update(self, i, fired, draw):
        v, theta, leak = self.v[i], self.theta[i], self.leak[i]
        if self.order == "main":
            v = limited(v + (0 if all(s == -16 for s in self.shift) else
                             main_noise(draw, self.shift[i])))  # fmt: skip
        waiting = self.left[i] > 0
        self.left[i] = max(0, self.left[i] - 1)
        fires = not waiting and (v > theta if self.strict else v >= theta)
        fired[i] = int(fires)
        if self.order != "hardware":
            v = 0 if fires else v
            if self.order == "main" or self.model[i] == 2:
                v = limited(v - simulator_quotient(v, leak, order=self.order))
            elif self.model[i] == 0:
                v = 0
        elif fires:
            v = v - theta if self.soft[i] else 0
            self.left[i] = self.refractory[i]
        elif self.model[i] == 2:
            quotient = v >> leak if leak < 63 or self.leak_bias else 0
            limit = None if self.overflow == "wrap" else self.bits
            xi = hardware_noise(draw, self.shift[i], limit) if self.shift[i] > -17 else 0
            v = v - quotient + xi
        elif self.model[i] == 0:
            v = 0
        self.v[i] = v

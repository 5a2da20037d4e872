"""What can't be imported is refused in one message that names every finding and what to do."""

import re
import sys
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import neurojax as nj
from neurojax.converters import OUTPUT, Converted, register
from neurojax.converters.torch import from_torch
from tests.converters._live import peer

snn = peer("snntorch")
norse = peer("norse.torch")
neuron = peer("spikingjelly.activation_based.neuron")


def refused(module, *parts, shape=(4,), **options):
    """The message, which holds all of these."""
    options = options or {"input_shape": shape}
    with pytest.raises(ValueError) as caught:
        from_torch(module, **options)
    message = str(caught.value)
    for part in parts:
        assert part in message, message
    return message


def model(forward, **modules):
    """A module with this forward."""
    new = type("Model", (nn.Module,), {"forward": forward})()
    for name, module in modules.items():
        setattr(new, name, module)
    return new


class Custom(nn.Module):
    def forward(self, x):
        return torch.sigmoid(x) * (x > 0)


def test_all_findings_come_at_once():
    def forward(self, x):
        y = self.act(self.fc(x)) * self.custom(x)
        return self.norm(y) + torch.exp(x)

    module = model(
        forward, fc=nn.Linear(4, 4), act=nn.Softsign(), custom=Custom(), norm=nn.LayerNorm(4)
    )
    message = refused(
        module,
        "Model can't be imported; 4 findings",
        "'act' (torch.Softsign): torch.Softsign has no converter",
        "the nearest that has one is torch.ReLU;",
        "'norm' (torch.LayerNorm): torch.LayerNorm has no converter; write one",
        "modules of torch that are known: AdaptiveAvgPool1d, ",
        "Custom): torch's",
        "sigmoid is not supported",
        "write a converter for Custom and @register it",
        "forward: torch's exp is not supported",
    )
    assert "'fc'" not in message
    assert len(message.splitlines()) == 7


def depends_on_data(self, x):
    return self.fc(x) if x.sum() > 0 else x


def reads_an_item(self, x):
    return self.fc(x) * x.max().item()


def draws(self, x):
    return self.fc(torch.rand_like(x))


def adds_a_bias(self, x):
    return self.fc(x) + 0.5


def multiplies(self, x):
    return self.fc(x) * x


def mixes_samples(self, x):
    return self.fc(x.flatten()[:4].view(1, 4))


def takes_a_sample(self, x):
    return self.fc(x[0])


def takes_channels(self, x):
    return self.fc(F.pad(x[:, :2], (0, 2)))


def softmax_over_time(self, x):
    return F.log_softmax(self.fc(x), -1)


def decides(self, x):
    return self.fc(x).argmax(-1)


def constant_output(self, x):
    return torch.zeros(3)


def broadcasts(self, x):
    return self.fc(x) + self.one(x)


def dropout_in_eval(self, x):
    return F.dropout(self.fc(x), 0.5)


def gru(self, x):
    return self.gru(x)[0]


@pytest.mark.parametrize(
    ("forward", "text"),
    [
        (depends_on_data, "forward reads the values of a tensor (__bool__)"),
        (reads_an_item, "forward reads the values of a tensor (item)"),
        (draws, "draws random numbers (rand_like); give the model encoded spikes"),
        (adds_a_bias, "add with a constant that is not zero; make it the bias"),
        (multiplies, "mul: products of two values are not supported"),
        (mixes_samples, "mixes samples or steps"),
        (takes_a_sample, "indexing with [0]; only single steps can be taken out"),
        (takes_channels, "indexing with [:, :2]; only single steps"),
        (softmax_over_time, "before it and apply jax.nn.log_softmax to the outputs of the run"),
        (decides, "before it and apply jax.numpy.argmax to the outputs of the run"),
        (constant_output, "outputs don't depend on its inputs"),
        (broadcasts, "both must have one shape"),
        (dropout_in_eval, "dropout that is on in eval()"),
        (gru, "'gru' (torch.GRU): torch.GRU has no converter"),
    ],
)
def test_operations(forward, text):
    module = model(forward, fc=nn.Linear(4, 4), one=nn.Linear(4, 1), gru=nn.GRU(4, 4))
    refused(module, text, time_axis=None, input_shape=(4,))


def loop(body):
    """A module that steps `body(self, x[t], t, memory) -> (output, memory)` and stacks outputs."""

    def forward(self, x):
        memory, rec = None, []
        for t, xt in enumerate(x):
            out, memory = body(self, xt, t, memory)
            rec.append(out)
        return torch.stack(rec)

    return model(forward, fc=nn.Linear(4, 4), lif=snn.Leaky(beta=0.5), cell=norse.LIFCell(),
                 seq=norse.LIF(), sj=neuron.IFNode())  # fmt: skip


def uses_the_membrane(self, x, t, mem):
    spk, mem = self.lif(self.fc(x), mem)
    return spk + 0.5 * mem, mem


def twice_in_a_step(self, x, t, mem):
    spk, mem = self.lif(self.fc(x), mem)
    spk, mem = self.lif(spk, mem)
    return spk, mem


def not_handed_on(self, x, t, mem):
    spk, _ = self.cell(self.fc(x), None)
    return spk, None


def other_in_step_two(self, x, t, mem):
    return self.lif(self.fc(x) if t != 2 else x, mem)


def a_sequence_module_in_a_loop(self, x, t, mem):
    return self.seq(self.fc(x))[0], None


def starts_in_every_step(self, x, t, mem):
    return self.lif(self.fc(x), self.lif.init_leaky())


def starts_elsewhere(self, x, t, mem):
    return self.lif(self.fc(x), torch.ones(x.shape) if mem is None else mem)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (uses_the_membrane, "takes the state 'lif.v'; a state may only be handed on or recorded"),
        (twice_in_a_step, "has a state and is called with several inputs within one step"),
        (not_handed_on, "starts anew in every step, because its state is made within the loop"),
        (starts_in_every_step, "make it (zeros, None, init_leaky()) before the loop, and hand on"),
        (other_in_step_two, "called with several inputs within one step, or with others in some"),
        (a_sequence_module_in_a_loop, "takes all steps at once, [time, batch, ...], but is given"),
        (starts_elsewhere, "starts from a state that is not zero"),
    ],
)
def test_loops(body, text):
    refused(loop(body), text, time_axis=0, input_shape=(4,))


def after_the_loop(self, x):
    mem, total = None, 0
    for xt in x:
        spk, mem = self.lif(self.fc(xt), mem)
        total = total + spk
    return F.log_softmax(total, 1), self.fc(spk)


def test_what_comes_after_the_loop():
    module = model(after_the_loop, fc=nn.Linear(4, 4), lif=snn.Leaky(beta=0.5))
    text = "apply jax.nn.log_softmax to the outputs of the run, or to their mean or sum over time"
    refused(module, text, input_shape=(4,), time_axis=0)


def test_a_softmax_of_a_mean_over_time():
    module = recorded(lambda self, s, m: F.softmax(torch.stack(s).mean(0), -1))
    refused(module, "softmax comes after the mean over time; end the model before that, and apply "
            "jax.nn.softmax to neurojax.decode.mean_over_time(run.outputs)")  # fmt: skip


def test_a_softmax_that_is_a_module():
    message = refused(
        nn.Sequential(nn.Linear(4, 4), nn.LogSoftmax(-1)),
        "torch.LogSoftmax is not supported; where the model ends with it, end the model before it",
    )
    assert "register" not in message


def recorded(end):
    """A loop that records spikes and membranes, and returns what the end makes of them."""

    def forward(self, x):
        mem, spikes, membranes = self.lif.init_leaky(), [], []
        for xt in x:
            spk, mem = self.lif(self.fc(xt), mem)
            spikes.append(spk)
            membranes.append(mem)
        return end(self, spikes, membranes)

    return model(forward, fc=nn.Linear(4, 4), lif=snn.Leaky(beta=0.5), drop=nn.Dropout(),
                 same=nn.Identity())  # fmt: skip


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (lambda self, s, m: torch.stack(m), "give probes: 'lif.v'$"),
        (lambda self, s, m: m[-1], r"give probes: 'lif.v' \(its last step\)$"),
    ],
)
def test_a_model_that_returns_only_membranes_warns(end, text):
    with pytest.warns(UserWarning, match="returns nothing but states.*" + text) as caught:
        from_torch(recorded(end), input_shape=(4,), check=False)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("end", "how", "drops"),
    [
        (lambda self, s, m: self.drop(torch.stack(s).mean(0)), "mean", True),
        (lambda self, s, m: self.same(torch.stack(s).mean(0)), "mean", False),
        (lambda self, s, m: F.dropout(sum(s), 0.5, self.training), "sum", True),
        (lambda self, s, m: self.same(self.drop(s[-1])), "last step", True),
        (lambda self, s, m: (torch.stack(s).sum(0), self.same(torch.stack(m))), "sum", False),
    ],
)
def test_what_changes_nothing_may_come_after_the_loop(end, how, drops):
    network = from_torch(recorded(end), input_shape=(4,), check=False)
    assert network.names == ("fc", "lif")
    notes = str(network.provenance["lif"].notes)
    assert f"torch returns its {how}" in notes
    assert ("a dropout, in training" in notes) == drops


def test_a_state_that_is_made_in_every_call():
    module = model(lambda self, x: self.lif(self.fc(x), self.lif.init_leaky())[0],
                   fc=nn.Linear(4, 4), lif=snn.Leaky(beta=0.5))  # fmt: skip
    refused(module, "because one call of the model is one step here", "or make the neuron with ini")


def after_the_mean(self, x):
    spk = self.lif(self.fc(x))[0]
    return self.fc(spk.mean(0))


def test_what_comes_after_a_mean_over_time():
    module = model(after_the_mean, fc=nn.Linear(4, 4), lif=norse.LIF())
    refused(module, "comes after the mean over time; end the model before that",
            input_shape=(4,), time_axis=0)  # fmt: skip


def test_time_axis_that_contradicts_the_modules():
    one_step = nn.Sequential(nn.Linear(4, 3), neuron.IFNode())
    refused(one_step, "takes one step a call, but is given [time, batch, ...]",
            input_shape=(4,), time_axis=0)  # fmt: skip
    all_steps = nn.Sequential(nn.Linear(4, 3), neuron.IFNode(step_mode="m"))
    refused(all_steps, "takes all steps at once", input_shape=(4,), time_axis=None)
    refused(all_steps, "takes [time, batch, ...], but is given [batch, time, ...]",
            input_shape=(4,), time_axis=1)  # fmt: skip
    mixed = nn.Sequential(nn.Linear(4, 3), neuron.IFNode(step_mode="m"), neuron.IFNode())
    refused(mixed, "'2' (spikingjelly.IFNode): spikingjelly.IFNode takes one step a call")
    refused(nn.Linear(4, 3), "no module says how many", input_shape=(4,), time_axis="squeezed")


def test_a_model_that_does_not_run():
    message = refused(nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 3)), "can't be run on inputs of")
    assert "RuntimeError" in message and "give an example_input" in message
    assert message.endswith("one sample at one step, without batch and time")

    def broken(self, x):
        raise KeyError("hello")

    message = refused(model(broken), "KeyError: 'hello'")
    assert re.search(r"test_from_torch_errors.py:\d+", message)


def test_a_batch_too_much_or_too_little():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 3))
    for shape in [(8, 1, 8, 8), (5, 8, 1, 8, 8)]:
        message = refused(net, "with input_shape=(1, 8, 8) it can be imported: ", shape=shape)
        assert message.endswith("one sample at one step, without batch and time")
    refused(net, "(1, 1, 8, 8) can be imported: the batch", example_input=torch.ones(1, 8, 8))
    refused(nn.Linear(4, 3), "with input_shape=(8, 8, 4) it can be", shape=(2, 8, 8, 4))
    stepped = loop(lambda self, x, t, mem: self.lif(self.fc(x), mem))
    refused(stepped, "shape (6, 1, 4) can be imported", example_input=torch.ones(6, 4))

    def both(self, a, b):
        return self.fc(a) + self.fc(b)

    shapes, words = ((2, 8, 8, 4), (2, 8, 8, 4)), "{'a': (8, 8, 4), 'b': (8, 8, 4)} it can be"
    module = model(both, fc=nn.Linear(4, 3))
    refused(module, f"with input_shape={words}", input_shape=shapes)


def test_errors_are_of_plain_types():
    for module in (nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 3)), nn.GRU(4, 4)):
        with pytest.raises(ValueError) as caught:
            from_torch(module, input_shape=(4,))
        assert caught.type is ValueError


def test_one_step_is_too_few_to_see_feedback():
    module = loop(lambda self, x, t, mem: self.lif(self.fc(x), mem))
    refused(module, "the example holds a single step", example_input=torch.ones(1, 3, 4))


def test_scripted_modules():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is on its way out
        scripted = torch.jit.script(nn.Linear(4, 3))
        traced = torch.jit.trace(nn.Linear(4, 3), torch.ones(2, 4))
    for module in (scripted, traced):
        text = "is TorchScript, which is not supported, because it can't be looked into"
        refused(nn.Sequential(nn.Sequential(module)), f"imported: '0.0' {text}; import the module")
        refused(module, f"imported: it {text}")


def test_without_torch(monkeypatch):
    linear = nn.Linear(4, 3)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r'pip install "neurojax\[torch\]"'):
        from_torch(linear, input_shape=(4,))


def test_arguments():
    linear = nn.Linear(4, 3)
    with pytest.raises(TypeError, match="give either example_input or input_shape"):
        from_torch(linear)
    with pytest.raises(TypeError, match=r"takes a torch.nn.Module, got str"):
        from_torch("model.pt", input_shape=(4,))
    with pytest.raises(ValueError, match=r"time_axis=2 must be None, 0, 1, 'squeezed' or 'auto'"):
        from_torch(linear, input_shape=(4,), time_axis=2)
    with pytest.raises(TypeError, match="got str; give a tensor"):
        from_torch(linear, "nothing")
    with pytest.raises(ValueError, match="has no input 'x'; its inputs are input"):
        from_torch(linear, {"x": torch.ones(2, 4)})
    with pytest.raises(ValueError, match="too few axes for time and batch"):
        from_torch(linear, torch.ones(4), time_axis=0)


def test_an_input_without_effect():
    def forward(self, a, b):
        return self.fc(a)

    refused(model(forward, fc=nn.Linear(4, 4)), "input 'b' has no effect",
            input_shape=((4,), (4,)))  # fmt: skip


class Wrong(nn.Module):
    def forward(self, x):
        return 2 * x


class Pair(nn.Module):
    def forward(self, x):
        return x, x


class Broken(nn.Module):
    def forward(self, x):
        return x


@register(Wrong)
def _wrong(module, in_shape):
    return nj.Scale(3.0)


@register(Pair)
def _pair(module, in_shape):
    return Converted({"": nj.Identity()}, returns=(OUTPUT,))


@register(Broken)
def _broken(module, in_shape):
    raise KeyError("field")


def test_a_layer_that_does_not_agree_with_its_module():
    module = nn.Sequential(nn.Linear(4, 3), Wrong())
    message = refused(module, "computes other values: checked on 5 steps x 3 samples", "'1' (")
    assert "recorded" in message
    network = from_torch(module, input_shape=(4,), check=False)
    assert network["1"].factor == 3.0


def test_converters_that_fail():
    refused(nn.Sequential(Pair()), "returns 2 values, its converter says ('output',)")
    refused(nn.Sequential(Broken()), "KeyError: 'field'")
    refused(nn.Sequential(nn.Conv2d(1, 2, 3, padding_mode="circular")), "padding_mode='circular'",
            shape=(1, 6, 6))  # fmt: skip


def test_values_that_are_changed_in_place():
    def forward(self, x):
        y = self.fc(x)
        view = y.view(-1, 2, 2)
        view[:, 0] = 0
        return self.fc(y)

    module = model(forward, fc=nn.Linear(4, 4))
    refused(module, "writes to a part of a tensor")


def test_nothing_random_is_left_behind():
    module = model(draws, fc=nn.Linear(4, 4))
    before = torch.get_rng_state()
    refused(module, "draws random numbers")
    assert torch.equal(before, torch.get_rng_state())


def test_one_cause_is_one_finding():
    """What follows from a state that is lost is not reported again."""

    def forward(self, x):
        spikes, _ = self.lif1(self.fc1(x), self.lif1.init_leaky())
        return self.lif2(self.fc2(spikes))

    module = model(
        forward,
        fc1=nn.Linear(4, 4),
        lif1=snn.Leaky(beta=0.5),
        fc2=nn.Linear(4, 4),
        lif2=snn.Leaky(beta=0.5, init_hidden=True),
    )
    message = refused(module, "1 finding", "'lif1' (snntorch.Leaky): snntorch.Leaky starts anew")
    assert len(message.splitlines()) == 2


def test_refused_neurons_are_found_behind_others():
    refused(
        nn.Sequential(nn.LayerNorm(4), neuron.KLIFNode()),
        "torch.LayerNorm has no converter; write one",
        "SpikingJelly's KLIFNode scales and rectifies its membrane",
    )


def test_a_mean_over_samples():
    def forward(self, x):
        return self.spikes(self.fc(x)).mean(0)

    module = model(forward, fc=nn.Linear(4, 4), spikes=neuron.IFNode())
    refused(module, "mean over axes [0] of [batch, ...] mixes samples; if one of them is time")


def test_hooks_may_look_but_not_change():
    seen = []
    module = nn.Sequential(nn.Linear(4, 3))
    module[0].register_forward_hook(lambda module, x, y: seen.append(y.abs().sum().item()))
    assert from_torch(module, input_shape=(4,)).names == ("0",) and seen
    module[0].register_forward_hook(lambda module, x, y: 2 * y)
    refused(module, "'0' (torch.Linear): has a hook that changes what goes in or comes out")


def test_blocks_of_lava_dl_have_time_last():
    block = type("Dense", (nn.Linear,), {"__module__": "lava.lib.dl.slayer.block.cuba"})(4, 3)
    refused(nn.Sequential(block), "have time last", "'0'", "slayer.from_blocks")


def test_another_class_of_a_known_name():
    cls = type("LIFNode", (nn.Module,), {"__module__": "spikingjelly.activation_based.examples.x"})
    cls.forward = lambda self, x: x
    refused(nn.Sequential(cls()), "its converter can't read it (AttributeError: 'LIFNode' object")


def test_progress(capsys):
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    from_torch(module, input_shape=(4,), progress=True)
    assert "checking" in capsys.readouterr().err
    from_torch(module, input_shape=(4,))
    assert not capsys.readouterr().err

"""What is unusual or wrong is done right, left alone and said, or refused before a change."""

import copy
import pickle
import threading
import warnings

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import init as theirs
from torch.nn.utils import parametrizations, prune
from torch_models import bert, gpt2

import fanin
from fanin import torch as init


class Holder(nn.Module):
    """A module of the tensors that it is given: parameters, modules, and buffers."""

    def __init__(self, **members):
        super().__init__()
        for name, member in members.items():
            if isinstance(member, (nn.Parameter, nn.Module)):
                setattr(self, name, member)
            else:
                self.register_buffer(name, member)


def pair():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def unchanged(module, before):
    after = module.state_dict()
    return all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def nothing_is_open():
    modes = torch._C._len_torch_function_stack() + torch._C._len_torch_dispatch_stack()
    return modes == 0 and theirs.normal_.__code__.co_name == "normal_" and (
        "init.py" in theirs.normal_.__code__.co_filename
    )  # fmt: skip


# --- tensors that no plan describes ---------------------------------------------------------------


def quantised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.ones(3), 1.0, 0, torch.qint8)


FOREIGN = {
    "quantised": (quantised, "a quantised tensor"),
    "sparse": (lambda: nn.Parameter(torch.eye(3).to_sparse()), "the layout torch.sparse_coo"),
    "compressed": (lambda: torch.eye(3).to_sparse_csr(), "the layout torch.sparse_csr"),
    "nested": (lambda: nn.Parameter(torch.nested.nested_tensor([torch.ones(2)])), "a nested"),
    "complex32": (lambda: nn.Parameter(torch.ones(2, dtype=torch.complex32)), "torch.complex32"),
    "float4": (lambda: torch.ones(2, dtype=torch.uint8).view(torch.float4_e2m1fn_x2), "float4"),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.filterwarnings("ignore")
def test_what_no_plan_describes_is_named_by_record_and_left_alone_by_init(kind):
    build, words = FOREIGN[kind]
    module = Holder(a=build(), b=nn.Linear(3, 3))
    with pytest.raises(ValueError, match=f"cannot record a of Holder: it is .*{words}"):
        init.record(module)
    done = init.init_(module, seed=1)
    assert (done.filled, done.skipped) == (("b.weight", "b.bias"), ("a",))
    want = fanin.uniform((3, 3), -(3**-0.5), 3**-0.5, seed=fanin.Stream(1)["b.weight"])
    assert abs(module.b.weight.detach().numpy() - want).max() < 1e-7


def test_tensors_that_show_the_memory_of_others_are_not_drawn_over_them():
    def sliced():
        layer = nn.Linear(4, 3)
        layer.rows = nn.Parameter(layer.weight.data[:2])
        return layer

    def turned():
        layer = nn.Linear(4, 3)
        layer.turned = nn.Parameter(layer.weight.data.t())
        return layer

    def shadowed():
        layer = nn.Linear(4, 3)
        layer.register_buffer("shadow", layer.weight.data)
        return layer

    for build, name in ((sliced, "rows"), (turned, "turned"), (shadowed, "shadow")):
        for given in (build, build()):
            with pytest.raises(ValueError, match=f"cannot record {name} .*memory of weight"):
                init.record(given)
        module, plain = build(), nn.Linear(4, 3)
        done = init.init_(module, seed=1)
        init.init_(plain, seed=1)
        assert torch.equal(module.weight, plain.weight) and done.skipped == (name,)


def test_neighbours_in_one_storage_have_their_own_laws():
    def build():
        base = torch.empty(4, 6)
        theirs.normal_(base)
        parts = (base[:2, :3], base[:2, 3:], base[2:])
        return Holder(**{name: nn.Parameter(p) for name, p in zip("abc", parts, strict=True)})

    assert [t.scheme for t in init.record(build).tensors] == ["normal"] * 3


# --- modules that torch has changed ---------------------------------------------------------------

CHANGED = {
    "spectral_norm": (parametrizations.spectral_norm, "parametrizations.weight.0._u .*aten::div"),
    "orthogonal": (parametrizations.orthogonal, "aten::geqrf, called by torch.nn.utils"),
    "orthogonal, square": (parametrizations.orthogonal, "aten::allclose, called by torch.nn.utils"),
    "pruned": (lambda m: prune.l1_unstructured(m, "weight", 0.5), "weight_mask .*index_put_"),
}


@pytest.mark.parametrize("kind", CHANGED)
def test_what_is_computed_from_a_weight_says_what_to_do(kind):
    change, words = CHANGED[kind]
    size = (4, 4) if "square" in kind else (3, 4)
    advice = "initialise the module before you parametrise"
    with pytest.raises(ValueError, match=f"{words}.*{advice}.*a rule"):
        init.record(lambda: change(nn.Linear(*size)))
    with pytest.raises(ValueError, match=f"cannot record .*{advice}"):
        init.record(change(nn.Linear(*size)))
    module = nn.Sequential(change(nn.Linear(*size)), nn.Linear(4, 2))
    done, plain = init.init_(module, seed=1), nn.Sequential(nn.Linear(*size), nn.Linear(4, 2))
    init.init_(plain, seed=1)
    assert torch.equal(module[1].weight, plain[1].weight)
    assert any(name.startswith("0.") for name in done.skipped)
    advised = nn.Linear(*size)
    init.init_(advised, seed=1)  # what the advice says
    assert change(advised)(torch.ones(1, size[0])).shape == (1, 4)


def test_a_rule_fills_what_a_parametrisation_keeps():
    module = parametrizations.spectral_norm(nn.Linear(3, 4))
    name = "parametrizations.weight.original"
    done = init.init_(module, {name: "he_normal"}, seed=1)
    want = fanin.he_normal((4, 3), layout="oi", seed=fanin.Stream(1)[name])
    assert (module.parametrizations.weight.original.detach().numpy() == want).all()
    assert done.filled == ("bias", name)


@pytest.mark.filterwarnings("ignore")
def test_scripted_modules_are_filled_from_a_plan():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    plan = init.record(model)
    for compiled in (torch.jit.script(model), torch.jit.trace(model, torch.ones(1, 3))):
        before = state(compiled)
        for call in (init.record, init.init_, lambda m: init.init_(nn.Sequential(m))):
            with pytest.raises(ValueError, match="torch.jit has compiled: record the model before"):
                call(compiled)
        assert unchanged(compiled, before)
        assert init.init_(compiled, seed=2, how=plan).filled == ("0.weight", "0.bias")
        plain = copy.deepcopy(model)
        init.init_(plain, seed=2)
        assert unchanged(compiled, state(plain))


# --- arguments of init_ ---------------------------------------------------------------------------

TWO = {"0.weight": "ones", "1.weight": "ones"}


def raising(*args, **keywords):
    raise ValueError("no draw")


REFUSED = {
    "a factory": ({"module": pair}, TypeError, "init_ takes a module that is built, got <function"),
    "a number": ({"module": 3}, TypeError, "init_ takes a module, got 3"),
    "only": ({"only": 3}, TypeError, "only is a pattern or a sequence of patterns, got 3"),
    "progress": ({"progress": "yes"}, TypeError, "progress is a bool or a callable, got 'yes'"),
    "a seed": ({"seed": 1.5}, TypeError, "seed must be an int"),
    "a callable that raises": ({"rules": {"1.weight": raising}}, ValueError, "1.weight: no draw"),
    "torch's functions": ({"rules": {"1.weight": theirs.normal_}}, TypeError, "as fanin.normal is"),
    "a bad argument": (
        {"rules": [("1.weight", fanin.normal, {"scale": -1})]},
        ValueError,
        "the rule '1.weight' on 1.weight: scale < 0",
    ),
    "a dtype": (
        {"rules": [("1.weight", "normal", {"dtype": "float64"})]},
        TypeError,
        "the rule '1.weight' on 1.weight: .*float64",
    ),
    "another model's plan": (
        {"how": init.record(lambda: nn.Linear(3, 4))},
        ValueError,
        "the plan has none of the 7 names of the module: it has weight, the module 0.weight",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_wrong_arguments_are_refused_before_anything_is_written(kind):
    arguments, error, words = REFUSED[kind]
    module = pair()
    before = state(module)
    with pytest.raises(error, match=words):
        init.init_(**{"module": module, **arguments})
    assert unchanged(module, before) and nothing_is_open()


def test_a_rule_that_a_dtype_refuses_is_refused_before_the_first_layer():
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4, dtype=torch.complex64))
    before = state(module)
    with pytest.raises(TypeError, match="on 1.weight: Unsupported dtype dtype\\('complex64'\\)"):
        init.init_(module, {"1.weight": "he_normal"})
    assert unchanged(module, before)


def test_rules_leave_integers_to_the_record():
    module = pair()
    module[1].num_batches_tracked.fill_(7)
    done = init.init_(module, {"*": "ones"})
    assert module[1].num_batches_tracked == 0 and (module[1].running_mean == 1).all()
    assert len(done.filled) == 7


def test_what_raises_on_the_way_leaves_everything_as_it_was():
    class Failing(nn.Linear):
        def reset_parameters(self):
            super().reset_parameters()
            if self.out_features == 3:
                raise RuntimeError("no start")

    def failing(module):
        theirs.normal_(module[0].weight)
        raise KeyError("half of it")

    module = pair()
    broken = nn.Sequential(nn.Linear(2, 2), Failing(2, 4))
    broken[1].out_features = 3
    for given, how, error in ((broken, None, RuntimeError), (module, failing, KeyError)):
        before, parameters = state(given), list(given.parameters())
        for call in (init.record, init.init_):
            with pytest.raises(error):
                call(given, how=how)
        assert unchanged(given, before) and nothing_is_open()
        assert all(a is b for a, b in zip(given.parameters(), parameters, strict=True))
    with pytest.raises(RuntimeError, match="no start"):
        init.record(lambda: Failing(2, 3))
    assert nothing_is_open()


def test_what_how_does_to_a_module_is_undone():
    def changing(module):
        for number in (0, 1, 3, 4):
            module[number].reset_parameters()
        module[0].weight = nn.Parameter(torch.randn(4, 3))
        module[0].extra = nn.Parameter(torch.randn(3))
        del module[0].bias
        module[1] = nn.Linear(9, 9)
        module.append(nn.Linear(2, 2))
        module[2].note = "changed"
        module.eval()
        parametrizations.weight_norm(module[3])
        module[4].register_buffer("more", torch.ones(2), persistent=False)

    def build():
        return nn.Sequential(*pair(), nn.ReLU(), nn.Linear(2, 2), nn.Linear(2, 2))

    module, twin = build(), build()
    before, modules, parameters = state(module), list(module.modules()), list(module.parameters())
    plan = init.record(module, how=changing)
    assert {"0.extra", "1.weight", "5.weight"} <= {tensor.name for tensor in plan.tensors}
    with pytest.raises(ValueError, match="1.weight has shape .4,., its record .9, 9."):
        init.init_(module, how=changing)
    assert unchanged(module, before) and list(before) == list(module.state_dict())
    assert list(map(type, module.modules())) == list(map(type, twin.modules()))
    assert all(a is b for a, b in zip(module.modules(), modules, strict=True))
    assert all(a is b for a, b in zip(module.parameters(), parameters, strict=True))
    for one, other in zip(module.modules(), twin.modules(), strict=True):
        assert list(vars(one)) == list(vars(other)) and one.training
        assert one._non_persistent_buffers_set == other._non_persistent_buffers_set


def test_a_method_that_asks_for_arguments_says_how():
    class Scaled(nn.Linear):
        def reset_parameters(self, std=None, *, mean=0.0):
            theirs.normal_(self.weight, mean, 1.0 if std is None else std)
            theirs.zeros_(self.bias)

    class Asking(Scaled):
        def reset_parameters(self, std):
            super().reset_parameters(std)

    module = nn.Sequential(Scaled(2, 2))
    assert init.init_(module).filled == ("0.weight", "0.bias")
    module.append(copy.deepcopy(module[0]))
    module[1].__class__ = Asking
    with pytest.raises(ValueError, match="1.weight of Asking: its reset_parameters asks for arg"):
        init.record(module)
    assert init.init_(module).skipped == ("1.weight", "1.bias")

    def how(module):
        module[0].reset_parameters()
        module[1].reset_parameters(0.02)

    assert len(init.init_(module, how=how).filled) == 4


class Around(nn.Module):
    """A module that has a model of transformers in it."""

    def __init__(self, build):
        super().__init__()
        self.net, self.head = build(), nn.Linear(3, 2)


@pytest.mark.parametrize("build", [gpt2, bert])
def test_models_of_transformers_keep_their_scheme_inside_of_others(build):
    module = Around(build)
    plan = init.record(lambda: Around(build))
    assert init.record(module).tensors == plan.tensors
    done = init.init_(module, seed=1)
    assert done.skipped == () and len(done.tied) > 0
    table = module.net.get_input_embeddings().weight.detach()
    assert module.net.get_input_embeddings().weight is module.net.get_output_embeddings().weight
    assert abs(float(table[1:].std()) / 0.02 - 1) < 0.1
    assert bool((table[0] == 0).all()) is (build is bert)  # BERT's padding


def test_a_model_of_transformers_whose_constructor_asks_for_more_is_recorded_as_it_is():
    kind = type(gpt2())

    class Larger(kind):
        def __init__(self, config, classes):
            super().__init__(config)
            self.extra = nn.Linear(32, classes)
            self.post_init()

    module = Larger(gpt2().config, 3)
    want = init.record(lambda: Larger(gpt2().config, 3))
    assert init.record(module).tensors == want.tensors
    for how in (None, lambda model: model.init_weights()):
        assert init.init_(module, how=how).skipped == ()


def test_a_rule_may_name_a_tensor_by_any_of_its_names():
    module = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5))
    module[1].weight = module[0].weight
    done = init.init_(module, {"1.weight": "ones"})
    assert (module[0].weight == 1).all() and done.tied == ("1.weight",)
    init.init_(module, [("0.weight", "zeros"), ("1.*", "ones")])
    assert (module[0].weight == 0).all() and (module[1].bias == 1).all()


def test_names_of_torch_are_answered_with_ours():
    with pytest.raises(ValueError, match="rule 'weight'.*torch's is fanin.glorot_uniform"):
        init.init_(nn.Linear(3, 4), {"weight": "xavier_uniform_"})


def test_only_takes_any_collection_of_patterns():
    for only in ("weight", ["weight"], {"weight"}, (name for name in ["weight"])):
        assert init.init_(nn.Linear(3, 4), only=only).filled == ("weight",)


def test_fake_tensors_are_refused():
    module = pair()
    with FakeTensorMode():
        for call in (lambda: init.init_(module), lambda: init.record(pair)):
            with pytest.raises(ValueError, match="FakeTensorMode is open"):
                call()
    assert nothing_is_open()


# --- where it runs --------------------------------------------------------------------------------


def test_contexts_of_torch_change_no_value():
    plain = pair()
    init.init_(plain, seed=1)
    contexts = [
        torch.inference_mode(),
        torch.no_grad(),
        torch.autocast("cpu", torch.bfloat16),
        torch.device("meta"),
        init.patched(seed=9),
    ]
    for context in contexts:
        module = pair()
        with context:
            init.init_(module, seed=1)
        assert unchanged(module, state(plain))
        assert all(p.requires_grad and not p.is_inference() for p in module.parameters())


def test_a_default_device_of_meta_changes_nothing():
    module, batch = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4)), torch.randn(9, 3)
    one, two = copy.deepcopy(module), copy.deepcopy(module)
    want = init.lsuv_(one, batch, seed=1), str(init.report(module, batch))
    torch.set_default_device("meta")
    try:
        assert init.lsuv_(two, batch, seed=1) == want[0]
        assert str(init.report(module, batch)) == want[1]
    finally:
        torch.set_default_device(None)
    assert unchanged(two, state(one))


def test_threads_may_record_one_module():
    module = pair()
    parameters, found = list(module.parameters()), []
    want = str(init.record(module))

    def work():
        for _ in range(10):
            found.append(str(init.record(module)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {want} and len(found) == 80
    assert all(a is b for a, b in zip(module.parameters(), parameters, strict=True))


def test_draws_inside_vmap_are_torchs():
    def drawn(x):
        return x + torch.randn(3)

    x = torch.zeros(2, 3)
    with init.patched(seed=0):
        different = torch.func.vmap(drawn, randomness="different")(x)
        same = torch.func.vmap(drawn, randomness="same")(x)
        with pytest.raises(RuntimeError, match="randomness error mode"):
            torch.func.vmap(drawn)(x)
    assert not torch.equal(different[0], different[1]) and torch.equal(same[0], same[1])


def test_what_is_returned_can_be_pickled_and_copied():
    module = pair()
    kinds = [init.record(module), init.init_(module), init.report(module, torch.randn(5, 3))]
    for one in kinds:
        assert str(pickle.loads(pickle.dumps(one))) == str(copy.deepcopy(one)) == str(one)
    assert pickle.loads(pickle.dumps(kinds[0])) == kinds[0]


# --- lsuv_, report, network -----------------------------------------------------------------------


@pytest.mark.parametrize("function", [init.lsuv_, init.report, init.network])
def test_what_is_no_module_is_refused(function):
    for given in (None, 3, nn.Linear):
        with pytest.raises(TypeError, match=f"{function.__name__} takes a module"):
            function(given, torch.ones(2, 2))


@pytest.mark.filterwarnings("ignore")
def test_lsuv_refuses_weights_that_it_cannot_set_and_batches_that_fail():
    layer = nn.Linear(3, 4)
    before = layer.weight.clone()
    with pytest.raises(TypeError, match="iterations is an int, got 1.5"):
        init.lsuv_(layer, torch.randn(6, 3), iterations=1.5)
    assert torch.equal(layer.weight, before)
    second = {
        "computed from other tensors": parametrizations.weight_norm(nn.Linear(4, 4)),
        "has no shape yet": nn.LazyLinear(4),
        "on the meta device": nn.Linear(4, 4, device="meta"),
        "of torch.complex64": nn.Linear(4, 4, dtype=torch.complex64),
        "shapes cannot be multiplied": nn.Linear(5, 4),
    }
    for words, layer in second.items():
        module = nn.Sequential(nn.Linear(3, 4), layer)
        before = module[0].weight.clone()
        with pytest.raises((ValueError, RuntimeError), match=words):
            init.lsuv_(module, torch.randn(6, 3))
        assert torch.equal(module[0].weight, before) and not module[0]._forward_hooks


def test_lsuv_calls_layers_as_their_module_does_and_tells_autograd():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(30, 40)

        def forward(self, x):
            return self.layer(input=x)

    module = Named()
    loss = (module.layer.weight * module.layer.weight).sum()
    version = module.layer.weight._version
    found = init.lsuv_(module, 5 * torch.randn(200, 30), seed=1, orthogonal=False)
    assert abs(found["layer"] - 1) < 0.1 and module.layer.weight._version > version
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_report_says_what_it_needs():
    with pytest.raises(ValueError, match="0.weight is on the meta device and has no values"):
        init.report(nn.Sequential(nn.Linear(3, 3, device="meta")), torch.randn(2, 3, device="meta"))

    class Number(nn.Linear):
        def forward(self, x):
            return 3

    with pytest.raises(ValueError, match="the output is of type int: give the loss="):
        init.report(Number(3, 3), torch.randn(2, 3))
    for loss in (lambda y: y, lambda y: None):
        with pytest.raises(ValueError, match="a loss is a tensor of one number, got"):
            init.report(nn.Linear(3, 3), torch.randn(2, 3), loss=loss)


def test_a_single_layer_is_a_network():
    layer, x = nn.Linear(64, 32), torch.randn(8, 64)
    alone, inside = init.network(layer, x), init.network(nn.Sequential(layer), x)
    assert alone.propagate().q.tolist() == inside.propagate().q.tolist()
    assert init.report(layer, x).layers[0].predicted is not None
    with pytest.raises(ValueError, match="module: TransformerEncoderLayer: no layer"):
        init.network(nn.TransformerEncoderLayer(8, 2), torch.randn(2, 3, 8))
    for example in (None, [], "x"):
        with pytest.raises(TypeError, match="the example is a tensor, or one in a tuple or dict"):
            init.network(layer, example)


class Rescaled(nn.Module):
    """Asks for values in the middle of its law."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(16, 8)
        self.reset_parameters()

    def reset_parameters(self):
        with torch.no_grad():
            self.inner.weight.normal_()
            if self.inner.weight.abs().max() > 1:
                self.inner.weight.div_(2)


class Asking(nn.Module):
    """Its constructor knows what its law asks for, and nobody else."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(16, 8)
        self.reset_parameters(3.0)

    def reset_parameters(self, std):
        with torch.no_grad():
            self.inner.weight.normal_(0, std)


@pytest.mark.parametrize("kind", [Rescaled, Asking])
def test_a_law_that_cannot_be_followed_leaves_the_modules_inside_alone_too(kind):
    model = nn.Sequential(kind(), nn.Linear(4, 4))
    before = copy.deepcopy(model.state_dict())
    done = init.init_(model, seed=0)
    assert done.skipped == ("0.inner.weight", "0.inner.bias")
    assert done.filled == ("1.weight", "1.bias")
    for name in done.skipped:
        assert torch.equal(model.state_dict()[name], before[name])
    with pytest.raises(ValueError, match="cannot record 0.inner.weight"):
        init.record(model)


@pytest.mark.parametrize("value", [1e-41, -3e-39])
def test_memory_that_nobody_wrote_is_no_law(value):
    module = nn.Linear(4, 4)
    module.position = nn.Parameter(torch.full((3, 5), value))
    module.register_buffer("frequencies", torch.full((3,), value))
    assert init.init_(module, seed=0).skipped == ("position", "frequencies")


@pytest.mark.parametrize(
    ("dtype", "value"),
    [(torch.float16, 1e-5), (torch.float64, 1e-40), (torch.float8_e5m2, 2.0**-15),
     (torch.float32, 0.0), (torch.float32, 1e-30)],
)  # fmt: skip
def test_small_numbers_that_somebody_means_are_a_law(dtype, value):
    module = nn.Linear(4, 4)
    module.register_buffer("epsilon", torch.full((3,), value).to(dtype))
    assert "epsilon" in init.init_(module, seed=0).filled
    assert (module.epsilon.double() == torch.full((3,), value).to(dtype).double()).all()


@pytest.mark.filterwarnings("ignore")
def test_wrappers_in_any_order_keep_the_names(tmp_path):
    def build():
        return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6))

    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1
    )
    try:
        ddp = nn.parallel.DistributedDataParallel
        batch = torch.randn(64, 4)
        alone = build()
        init.init_(alone, seed=0)
        variances = init.lsuv_(copy.deepcopy(alone), batch, seed=1)
        assert list(variances) == ["0", "2"]
        for wrap in (
            lambda m: torch.compile(ddp(m), backend="eager"),
            lambda m: ddp(torch.compile(m, backend="eager")),
            lambda m: torch.compile(m, backend="eager"),
            ddp,
        ):
            model = build()
            done = init.init_(wrap(model), seed=0)
            assert done.filled == ("0.weight", "0.bias", "2.weight", "2.bias")
            assert torch.equal(model[2].weight, alone[2].weight)
            assert init.lsuv_(wrap(model), batch, seed=1) == variances
    finally:
        torch.distributed.destroy_process_group()


def test_lsuv_leaves_layers_alone_that_do_not_run():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.runs, self.rests = nn.Linear(6, 6), nn.Linear(6, 6)

        def forward(self, x):
            return self.runs(x)

    model = Half()
    before = model.rests.weight.clone()
    assert list(init.lsuv_(model, torch.randn(64, 6), seed=0)) == ["runs"]
    assert torch.equal(model.rests.weight, before)


def test_what_is_compiled_is_reported_as_what_it_was():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
    batch = torch.randn(64, 8)
    compiled = torch.compile(model, backend="eager")
    plain = init.report(model, batch).layers
    assert [(r.name, r.kind, r.std) for r in init.report(compiled, batch).layers] == [
        (r.name, r.kind, r.std) for r in plain
    ]
    assert repr(init.network(compiled, batch)) == repr(init.network(model, batch))

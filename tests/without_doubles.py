"""A device that has no float64, as Apple's GPUs have none, for tests on a machine without one.

`with device() as name:` gives the name of a device to PyTorch. Its tensors are wrappers around tensors of the
CPU: they say that they are on the device, are moved there and back by `to` and `cpu` as any, compute what the
CPU computes, and refuse, with MPS's own sentence, whatever would put a float64 on the device: moving one
there, making one there, or an operation whose result is one. Mixing them with tensors that were left on the
CPU is refused too, numbers excepted, as a real device refuses it, and so is the CTC loss, which MPS does not
have. So a program that gets through here keeps its doubles to the CPU.
"""

import contextlib
import sys

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "nodouble"
torch.inference_mode = torch.no_grad  # wrappers can do without gradients only; this comes before the package
REFUSED = "the MPS framework doesn't support float64"
aten = torch.ops.aten


class Backend:
    "What `torch.nodouble` is."

    is_available = staticmethod(lambda: True)
    device_count = staticmethod(lambda: 1)
    current_device = staticmethod(lambda: 0)
    is_initialized = staticmethod(lambda: True)
    manual_seed_all = staticmethod(lambda seed: None)
    _is_in_bad_fork = staticmethod(lambda: False)
    get_amp_supported_dtype = staticmethod(lambda: [torch.float16, torch.bfloat16])


class OnDevice(torch.Tensor):
    "A tensor of the device; `.raw` is what it holds."

    @staticmethod
    def __new__(cls, raw):
        if raw.dtype in (torch.float64, torch.complex128):
            raise TypeError(f"Cannot have a Tensor of dtype torch.float64 on {NAME}, as {REFUSED}")
        return torch.Tensor._make_wrapper_subclass(
            cls,
            raw.size(),
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            layout=raw.layout,
            device=f"{NAME}:0",
        )

    def __init__(self, raw):
        self.raw = raw

    def __repr__(self):
        return f"OnDevice({self.raw})"

    def tolist(self):
        return self.raw.tolist()

    def __reduce_ex__(self, protocol):  # a file holds values, and is read with map_location="cpu"
        return self.raw.detach().__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return compute(function, args, kwargs or {})


def compute(function, args, kwargs):
    "What a function gives that is told the device, or gets tensors of it."
    device = kwargs.get("device")
    told = None if device is None else torch.device(device).type
    leaves, tree = tree_flatten((args, kwargs))
    inside = any(isinstance(x, OnDevice) for x in leaves)
    if inside and "ctc_loss" in function.name():
        raise NotImplementedError(f"The operator '{function}' is not currently implemented for {NAME}.")
    copies = function in (aten._to_copy.default, aten.copy_.default, aten.set_.source_Tensor)
    for x in leaves:
        stray = isinstance(x, torch.Tensor) and not isinstance(x, OnDevice) and x.dim() > 0
        if inside and stray and not copies and "index" not in function.name():
            raise RuntimeError(f"{function}: Expected all tensors to be on the same device, {NAME} and cpu")
    args, kwargs = tree_unflatten([x.raw if isinstance(x, OnDevice) else x for x in leaves], tree)
    if told == NAME:
        kwargs = {**kwargs, "device": "cpu"}
    out = function(*args, **kwargs)
    goes_on_device = told == NAME or (told is None and inside)
    if function is aten.copy_.default:
        goes_on_device = isinstance(leaves[0], OnDevice)
    if not goes_on_device:
        return out
    out = tree_map_only(torch.Tensor, OnDevice, out)
    given_args, given_kwargs = tree_unflatten(leaves, tree)
    return return_and_correct_aliasing(function, given_args, given_kwargs, out)


class Device(TorchDispatchMode):
    "Sends what is made on the device, or moved there, to `compute`."

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        device = kwargs.get("device")
        here = device is not None and torch.device(device).type == NAME
        if not here and not any(isinstance(x, OnDevice) for x in tree_flatten((args, kwargs))[0]):
            return function(*args, **kwargs)
        with self:  # in inference mode, functions made of others come here in one piece
            in_pieces = function.decompose(*args, **kwargs)
        return compute(function, args, kwargs) if in_pieces is NotImplemented else in_pieces


@contextlib.contextmanager
def device():
    "Within `with`, the device's name. For a process of its own: what PyTorch has learned it does not forget."
    _setup_privateuseone_for_python_backend(NAME, Backend())
    torch._C._set_only_lift_cpu_tensors(True)  # `torch.tensor` moves what it made by `to`, as anybody does
    with Device():
        yield NAME


def main(folder):
    "Train, evaluate and write on the device, and say what came of it."
    from training_cases import short_run

    from cursivetransformer import write
    from cursivetransformer.model.checkpoint import load_checkpoint

    with device() as name:
        for refused in lambda: torch.zeros(2).double().to(name), lambda: torch.zeros(2, device=name).double():
            try:
                refused()
            except TypeError as e:
                print(e)
        few = dict(
            max_steps=2, batch_size=2, num_words=1, learning_rate=1e-5, local_checkpoint_path="default"
        )
        run = short_run(f"{folder}/run", **few, device=name)
        print(run.model.lm_head.weight.device, " ".join(sorted(run.metrics[-1])))
        there = load_checkpoint("default", name)
        page = write("so it goes", there, seed=3)
    here = load_checkpoint("default", "cpu")
    for ours, theirs in zip(write("so it goes", here, seed=3), page):
        print(
            ours.points.shape == theirs.points.shape and bool((abs(ours.points - theirs.points) < 1e-4).all())
        )


if __name__ == "__main__":
    main(*sys.argv[1:])

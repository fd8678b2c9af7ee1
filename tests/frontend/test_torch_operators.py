"""Every operator of the PyTorch importer against PyTorch itself."""

# pyright: reportMissingImports=false

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
torch = pytest.importorskip("torch", reason="the extra torch is not installed")

from torch import nn  # noqa: E402
from torch_models import Arrays, Call, assert_close, leaves, randn, run  # noqa: E402

from bitwright.frontend.torch import importer, load  # noqa: E402
from bitwright.passes.fold import Fold  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:::torch", "ignore:.*treespec:FutureWarning")
IMAGE, SIGNAL, ROWS = (1, 4, 9, 8), (1, 4, 11), (2, 6)


@dataclass
class Case:
    """A function (or module) of inputs of these shapes, and of constants."""

    call: Any
    shapes: Sequence[Any] = (ROWS,)
    constants: Sequence[Any] = ()


def _c(call: Callable[..., Any], *shapes: Any, constants: Sequence[Any] = ()) -> Case:
    return Case(call, shapes or (ROWS,), constants)


def _in_range(name: str) -> Callable[[Any], Any]:
    """A function where all of them are defined: on small positive numbers."""
    function = getattr(torch, name)
    return lambda x: function(x.abs() * 0.2 + 0.3)


def _weights(*shape: int) -> Any:
    return randn(*shape, seed=5)


CASES: dict[str, Case] = {
    # convolutions
    "conv2d": _c(nn.Conv2d(4, 6, 3), IMAGE),
    "conv2d_no_bias": _c(nn.Conv2d(4, 6, 3, bias=False), IMAGE),
    "conv2d_stride_padding": _c(nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2)), IMAGE),
    "conv2d_same": _c(nn.Conv2d(4, 6, 4, padding="same"), IMAGE),
    "conv2d_dilated_groups": _c(nn.Conv2d(4, 8, 3, dilation=2, groups=2), IMAGE),
    "conv2d_depthwise": _c(nn.Conv2d(4, 4, 3, padding=1, groups=4), IMAGE),
    "conv2d_reflect": _c(nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), IMAGE),
    "conv2d_computed": _c(lambda x, w: nn.functional.conv2d(x, w), IMAGE, (3, 4, 2, 2)),
    "conv1d": _c(nn.Conv1d(4, 6, 3, stride=2, padding=1), SIGNAL),
    "conv1d_same": _c(nn.Conv1d(4, 6, 4, padding="same", dilation=2), SIGNAL),
    "conv_transpose2d": _c(
        nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1), IMAGE
    ),
    "conv_transpose2d_groups": _c(nn.ConvTranspose2d(4, 6, 2, groups=2, bias=False), IMAGE),
    "conv_transpose1d": _c(nn.ConvTranspose1d(4, 3, 3, stride=3, dilation=2), SIGNAL),
    # products
    "linear": _c(nn.Linear(6, 5)),
    "linear_no_bias": _c(nn.Linear(6, 5, bias=False), (1, 3, 6)),
    "linear_vector": _c(nn.Linear(6, 5), (6,)),
    "matmul": _c(torch.matmul, (2, 3, 4), (2, 4, 5)),
    "matmul_constant": _c(torch.matmul, (2, 3, 4), constants=[_weights(4, 5)]),
    "matmul_constant_left": _c(lambda x, w: w @ x, (4, 3), constants=[_weights(5, 4)]),
    "matmul_vectors": _c(torch.matmul, (4,), (4,)),
    "matmul_row": _c(torch.matmul, (4,), (2, 4, 3)),
    "matmul_column": _c(torch.matmul, (2, 3, 4), (4,)),
    "matmul_broadcast": _c(torch.matmul, (2, 1, 3, 4), (3, 4, 5)),
    "mm": _c(torch.mm, (3, 4), (4, 5)),
    "bmm": _c(torch.bmm, (2, 3, 4), (2, 4, 5)),
    "addmm": _c(
        lambda x, w, b: torch.addmm(b, x, w), ROWS, constants=[_weights(6, 3), _weights(3)]
    ),
    "addmm_scaled": _c(
        lambda x, w, b: torch.addmm(b, x, w, alpha=0.5, beta=2),
        ROWS,
        constants=[_weights(6, 3), _weights(3)],
    ),
    "addmm_computed": _c(lambda x, b: torch.addmm(b, x, x.T), ROWS, (2,)),
    "baddbmm": _c(lambda x, y, b: torch.baddbmm(b, x, y), (2, 3, 4), (2, 4, 5), (2, 3, 5)),
    "int_mm": _c(
        lambda x, w: torch._int_mm((x * 20).to(torch.int8), w),
        (17, 8),
        constants=[(_weights(8, 16) * 20).to(torch.int8)],
    ),
    "einsum": _c(lambda x, y: torch.einsum("bik,bjk->bij", x, y), (2, 3, 4), (2, 5, 4)),
    "outer": _c(torch.outer, (3,), (4,)),
    # normalisation
    "batch_norm": _c(nn.BatchNorm2d(4), IMAGE),
    "batch_norm_1d": _c(nn.BatchNorm1d(4, affine=False), SIGNAL),
    "layer_norm": _c(nn.LayerNorm([9, 8]), IMAGE),
    "layer_norm_plain": _c(nn.LayerNorm(6, elementwise_affine=False)),
    "group_norm": _c(nn.GroupNorm(2, 4), IMAGE),
    "group_norm_plain": _c(nn.GroupNorm(2, 4, affine=False), SIGNAL),
    "instance_norm": _c(nn.InstanceNorm2d(4, affine=True), IMAGE),
    "instance_norm_statistics": _c(nn.InstanceNorm2d(4, track_running_stats=True), IMAGE),
    "rms_norm": _c(nn.RMSNorm(6)),
    "rms_norm_epsilon": _c(nn.RMSNorm(6, eps=0.1, elementwise_affine=False)),
    "normalize": _c(lambda x: nn.functional.normalize(x, dim=1)),
    "weight_norm": _c(nn.utils.parametrizations.weight_norm(nn.Linear(6, 5))),
    # activations
    **{
        name: _c(getattr(nn.functional, name))
        for name in (
            "relu",
            "relu6",
            "hardtanh",
            "hardsigmoid",
            "hardswish",
            "sigmoid",
            "tanh",
            "silu",
            "gelu",
            "elu",
            "selu",
            "celu",
            "softplus",
            "mish",
            "logsigmoid",
            "leaky_relu",
            "softsign",
            "hardshrink",
            "softshrink",
            "tanhshrink",
        )
    },
    "gelu_tanh": _c(lambda x: nn.functional.gelu(x, approximate="tanh")),
    "elu_alpha": _c(lambda x: nn.functional.elu(x, alpha=0.5)),
    "celu_alpha": _c(lambda x: nn.functional.celu(x, alpha=0.5)),
    "softplus_beta": _c(lambda x: nn.functional.softplus(x, beta=2.0)),
    "leaky_relu_slope": _c(lambda x: nn.functional.leaky_relu(x, 0.2)),
    "hardtanh_bounds": _c(lambda x: nn.functional.hardtanh(x, -0.5, 0.25)),
    "threshold": _c(lambda x: nn.functional.threshold(x, 0.1, -3.0)),
    "prelu": _c(nn.PReLU()),
    "prelu_channels": _c(lambda x, w: nn.functional.prelu(x, w), IMAGE, constants=[_weights(4)]),
    "glu": _c(nn.functional.glu),
    "softmax": _c(lambda x: nn.functional.softmax(x, 1)),
    "softmax_channels": _c(lambda x: nn.functional.softmax(x, 1), IMAGE),
    "log_softmax": _c(lambda x: nn.functional.log_softmax(x, -1)),
    "relu_in_place": _c(lambda x: (x + 1).relu_()),
    "dropout": _c(nn.Dropout(0.5)),
    "dropout2d": _c(nn.Dropout2d(0.5), IMAGE),
    # pooling
    "max_pool2d": _c(nn.MaxPool2d(3, 2, 1), IMAGE),
    "max_pool2d_ceil": _c(nn.MaxPool2d(3, 2, ceil_mode=True), (1, 4, 10, 8)),
    "max_pool2d_dilated": _c(nn.MaxPool2d((2, 3), 1, dilation=(2, 1)), IMAGE),
    "max_pool1d": _c(nn.MaxPool1d(3), SIGNAL),
    "avg_pool2d": _c(nn.AvgPool2d(3, 2, 1), IMAGE),
    "avg_pool2d_uncounted": _c(nn.AvgPool2d(3, 2, 1, count_include_pad=False), IMAGE),
    "avg_pool2d_ceil": _c(nn.AvgPool2d(3, 2, 1, ceil_mode=True), (1, 4, 10, 8)),
    "avg_pool2d_divisor": _c(nn.AvgPool2d(2, divisor_override=3), IMAGE),
    "avg_pool2d_divisor_ceil": _c(
        nn.AvgPool2d(3, 2, 1, divisor_override=5, ceil_mode=True), (1, 4, 10, 8)
    ),
    "avg_pool1d": _c(nn.AvgPool1d(4, 2, 1), SIGNAL),
    "adaptive_avg_pool2d": _c(nn.AdaptiveAvgPool2d(1), IMAGE),
    "adaptive_avg_pool2d_even": _c(nn.AdaptiveAvgPool2d((3, 4)), IMAGE),
    "adaptive_avg_pool2d_odd": _c(nn.AdaptiveAvgPool2d((4, 3)), IMAGE),
    "adaptive_avg_pool2d_keep": _c(nn.AdaptiveAvgPool2d((None, 3)), IMAGE),
    "adaptive_avg_pool1d": _c(nn.AdaptiveAvgPool1d(3), SIGNAL),
    "adaptive_max_pool2d": _c(nn.AdaptiveMaxPool2d((3, 2)), IMAGE),
    "adaptive_max_pool1d": _c(nn.AdaptiveMaxPool1d(1), SIGNAL),
    "lp_pool2d": _c(nn.LPPool2d(2, 3), IMAGE),
    # arithmetic
    "add_tensor": _c(lambda x, y: x + y, ROWS, (6,)),
    "add_number": _c(lambda x: 1.5 + x),
    "add_alpha": _c(lambda x, y: torch.add(x, y, alpha=3), ROWS, ROWS),
    "sub_tensor": _c(lambda x, y: x - y, ROWS, ROWS),
    "sub_constant": _c(lambda x, c: torch.sub(x, c, alpha=2), constants=[_weights(6)]),
    "rsub": _c(lambda x: 1 - x),
    "mul_scalar_tensor": _c(lambda x, c: x * c, constants=[torch.tensor(2.5)]),
    "div_number": _c(lambda x: x / 3),
    "div_tensor": _c(lambda x, y: x / (y.abs() + 1), ROWS, ROWS),
    "div_reverse": _c(lambda x: 2 / (x.abs() + 1)),
    "div_floor": _c(lambda x: torch.div(x, 0.3, rounding_mode="floor")),
    "div_trunc": _c(lambda x, y: torch.div(x, y, rounding_mode="trunc"), ROWS, ROWS),
    "remainder": _c(lambda x: x % 0.75),
    "fmod": _c(lambda x: torch.fmod(x, 0.75)),
    "pow_two": _c(lambda x: x**2),
    "pow_three": _c(lambda x: x**3),
    "pow_root": _c(lambda x: x.abs() ** 0.5),
    "pow_inverse_root": _c(lambda x: (x.abs() + 1) ** -0.5),
    "pow_tensor": _c(lambda x, y: x.abs() ** y, ROWS, ROWS),
    "pow_base": _c(lambda x: 2.0**x),
    "clamp": _c(lambda x: x.clamp(-0.5, 0.5)),
    "clamp_min": _c(lambda x: x.clamp(min=0.1)),
    "clamp_tensor": _c(lambda x, c: torch.clamp(x, min=c), constants=[_weights(6)]),
    "maximum": _c(torch.maximum, ROWS, ROWS),
    "minimum": _c(torch.minimum, ROWS, ROWS),
    "lerp": _c(lambda x, y: torch.lerp(x, y, 0.3), ROWS, ROWS),
    "addcmul": _c(lambda x, y: torch.addcmul(x, x, y, value=0.5), ROWS, ROWS),
    **{
        name: _c(_in_range(name))
        for name in (
            "abs",
            "acos",
            "asin",
            "asinh",
            "atan",
            "atanh",
            "ceil",
            "cos",
            "cosh",
            "erf",
            "exp",
            "floor",
            "frac",
            "log",
            "log10",
            "log2",
            "neg",
            "reciprocal",
            "rsqrt",
            "sign",
            "sin",
            "sinh",
            "sqrt",
            "square",
            "tan",
            "trunc",
        )
    },
    "acosh": _c(lambda x: torch.acosh(x.abs() + 1.5)),
    "round": _c(lambda x: torch.round(x * 2)),
    "isnan": _c(lambda x: torch.isnan(torch.log(x))),
    "isinf": _c(lambda x: torch.isinf(1 / (x - x))),
    **{
        f"compare_{name}": _c(getattr(torch, name), ROWS, ROWS)
        for name in ("eq", "ne", "lt", "le", "gt", "ge")
    },
    "compare_number": _c(lambda x: x > 0),
    "logical": _c(lambda x, y: (x > 0) & (y > 0) | ~(x > y), ROWS, ROWS),
    "logical_functions": _c(
        lambda x, y: torch.logical_xor(
            torch.logical_or(torch.logical_and(x > 0, y > 0), x > 1), torch.logical_not(x)
        ),
        ROWS,
        ROWS,
    ),
    "bitwise": _c(lambda x: (x * 10).int() & 7 | 2),
    "bitwise_xor": _c(lambda x: (x * 10).int() ^ 5),
    "bitwise_not": _c(lambda x: torch.bitwise_not((x * 10).int())),
    "where": _c(lambda x, y: torch.where(x > 0, x, y), ROWS, ROWS),
    "where_number": _c(lambda x: torch.where(x > 0, x, 0.0)),
    "masked_fill": _c(lambda x: x.masked_fill(x > 0, -1.0)),
    "cast": _c(lambda x: (x * 10).to(torch.int32).float()),
    "cast_bool": _c(lambda x: x.bool().float()),
    "double": _c(lambda x: x.double() * 2),
    "half": _c(lambda x: torch.tanh(x.half()).float()),
    "integers": _c(lambda x: (x * 10).long() // 3 + 1),
    "integers_relu": _c(lambda x: nn.functional.relu((x * 10).int()).clamp(max=5)),
    "integer_and_float": _c(lambda x: (x * 10).int() * 0.5),
    # reductions
    "mean": _c(lambda x: x.mean((2, 3)), IMAGE),
    "mean_keep": _c(lambda x: x.mean(1, keepdim=True), IMAGE),
    "mean_all": _c(torch.mean, IMAGE),
    "sum": _c(lambda x: x.sum(-1), IMAGE),
    "sum_all": _c(torch.sum),
    "sum_integers": _c(lambda x: (x > 0).sum(1)),
    "amax": _c(lambda x: x.amax((1, 2)), IMAGE),
    "amin": _c(lambda x: x.amin(1, keepdim=True), IMAGE),
    "max_of_two": _c(lambda x, y: torch.max(x, y), ROWS, ROWS),
    "max_values": _c(lambda x: x.max(1).values),
    "max_all": _c(torch.max),
    "min_all": _c(torch.min),
    "prod": _c(lambda x: x.prod(1)),
    "any": _c(lambda x: (x > 1).any(1)),
    "all": _c(lambda x: (x > -1).all()),
    "var": _c(lambda x: x.var(1)),
    "var_uncorrected": _c(lambda x: x.var((2, 3), correction=0, keepdim=True), IMAGE),
    "std": _c(lambda x: x.std(1)),
    "norm": _c(lambda x: torch.linalg.vector_norm(x, dim=1)),
    "norm_one": _c(lambda x: torch.linalg.vector_norm(x, 1, dim=1, keepdim=True)),
    "norm_largest": _c(lambda x: torch.linalg.vector_norm(x, float("inf"))),
    "logsumexp": _c(lambda x: torch.logsumexp(x, 1)),
    "cumsum": _c(lambda x: x.cumsum(1)),
    # shapes
    "view": _c(lambda x: x.view(1, -1, 8), IMAGE),
    "reshape": _c(lambda x: x.transpose(1, 2).reshape(9, 32), IMAGE),
    "flatten": _c(nn.Flatten(), IMAGE),
    "unflatten": _c(lambda x: x.unflatten(1, (2, 2)), IMAGE),
    "permute": _c(lambda x: x.permute(0, 2, -1, 1), IMAGE),
    "transpose": _c(lambda x: x.transpose(-1, 1), IMAGE),
    "t": _c(lambda x: x.t()),
    "squeeze": _c(torch.squeeze, (1, 3, 1, 2)),
    "squeeze_axis": _c(lambda x: x.squeeze(2), (1, 3, 1, 2)),
    "unsqueeze": _c(lambda x: x.unsqueeze(-1)),
    "expand": _c(lambda x: x.expand(3, 2, -1)),
    "repeat": _c(lambda x: x.repeat(2, 1, 3)),
    "repeat_interleave": _c(lambda x: x.repeat_interleave(2, 1)),
    "cat": _c(lambda x, y: torch.cat([x, y, x], 1), ROWS, ROWS),
    "stack": _c(lambda x, y: torch.stack([x, y], 1), ROWS, ROWS),
    "slice": _c(lambda x: x[:, 1:-1, ::2, 3:], IMAGE),
    "select": _c(lambda x: x[:, 1, -2], IMAGE),
    "narrow": _c(lambda x: x.narrow(1, 2, 3)),
    "split": _c(lambda x: x.split(4, 1)),
    "split_sizes": _c(lambda x: x.split([1, 5], 1)),
    "chunk": _c(lambda x: x.chunk(2, 1)[1]),
    "unbind": _c(lambda x: x.unbind(1)),
    "pad": _c(lambda x: nn.functional.pad(x, (1, 2, 0, 3), value=0.5), IMAGE),
    "pad_negative": _c(lambda x: nn.functional.pad(x, (-1, 2, 1, -2)), IMAGE),
    "pad_reflect": _c(lambda x: nn.functional.pad(x, (1, 2, 3, 0), mode="reflect"), IMAGE),
    "pad_replicate": _c(lambda x: nn.functional.pad(x, (1, 2, 3, 0), mode="replicate"), IMAGE),
    "flip": _c(lambda x: x.flip(0, 1)),
    "roll": _c(lambda x: x.roll(2, 1)),
    "pixel_shuffle": _c(nn.PixelShuffle(2), (1, 8, 3, 2)),
    "pixel_unshuffle": _c(nn.PixelUnshuffle(2), (1, 2, 4, 6)),
    "channel_shuffle": _c(nn.ChannelShuffle(2), IMAGE),
    "clone": _c(lambda x: x.clone().contiguous().detach()),
    "tril": _c(torch.tril, (4, 4)),
    "full_like": _c(lambda x: x + torch.full_like(x, 2.0) + torch.ones_like(x) + x.new_zeros(6)),
    "new_ones": _c(lambda x: x.new_ones(6) * x + torch.zeros_like(x) + torch.ops.aten.alias(x)),
    "arange": _c(lambda x: x + torch.arange(6)),
    "constant_output": _c(lambda x, c: (x, c * 2), constants=[_weights(3)]),
    # indexing
    "embedding": _c(
        lambda x, w: nn.functional.embedding((x.abs() * 2).long(), w), constants=[_weights(10, 3)]
    ),
    "embedding_constant": _c(
        lambda x, w, i: x + nn.functional.embedding(i, w).sum(),
        constants=[_weights(10, 3), torch.tensor([1, 2])],
    ),
    "index_select": _c(lambda x, i: x.index_select(1, i), constants=[torch.tensor([3, 0])]),
    "gather": _c(lambda x, i: x.gather(1, i), constants=[torch.tensor([[3, 0]])]),
    "index": _c(lambda x, i: x[:, i], constants=[torch.tensor([[3, -1], [0, 2]])]),
    "index_two": _c(
        lambda x, i, j: x[:, i, j], IMAGE, constants=[torch.tensor([3, -1]), torch.tensor([0, 2])]
    ),
    # attention
    "attention": _c(nn.functional.scaled_dot_product_attention, *[(1, 2, 5, 4)] * 3),
    "attention_scale": _c(
        lambda q: nn.functional.scaled_dot_product_attention(q, q, q, scale=0.3), (2, 5, 4)
    ),
    "attention_causal": _c(
        lambda q, k: nn.functional.scaled_dot_product_attention(q, k, k, is_causal=True),
        (1, 2, 5, 4),
        (1, 2, 7, 4),
    ),
    "attention_mask": _c(
        lambda q, m: nn.functional.scaled_dot_product_attention(q, q, q, attn_mask=m),
        (1, 2, 3, 4),
        constants=[torch.tensor([[True, False, True], [False] * 3, [True] * 3])],
    ),
    "attention_mask_computed": _c(
        lambda q, m: nn.functional.scaled_dot_product_attention(q, q, q, attn_mask=m > 0),
        (1, 2, 3, 4),
        (3, 3),
    ),
    "attention_grouped": _c(
        lambda q, k: nn.functional.scaled_dot_product_attention(q, k, k, enable_gqa=True),
        (1, 4, 3, 4),
        (1, 2, 3, 4),
    ),
    # upsampling
    "nearest": _c(nn.Upsample(scale_factor=2), IMAGE),
    "nearest_size": _c(nn.Upsample(size=(13, 5)), IMAGE),
    "nearest_exact": _c(nn.Upsample(scale_factor=1.5, mode="nearest-exact"), IMAGE),
    "nearest_1d": _c(nn.Upsample(scale_factor=2), SIGNAL),
    "linear_1d": _c(nn.Upsample(scale_factor=2, mode="linear"), SIGNAL),
    "bilinear": _c(nn.Upsample(scale_factor=2, mode="bilinear"), IMAGE),
    "bilinear_corners": _c(nn.Upsample(size=(5, 17), mode="bilinear", align_corners=True), IMAGE),
    "bilinear_factor": _c(nn.Upsample(scale_factor=(1.7, 0.6), mode="bilinear"), IMAGE),
    "bilinear_antialias": _c(
        lambda x: nn.functional.interpolate(x, size=(4, 3), mode="bilinear", antialias=True), IMAGE
    ),
    "bicubic_antialias": _c(
        lambda x: nn.functional.interpolate(x, size=(4, 3), mode="bicubic", antialias=True), IMAGE
    ),
    "nearest_exact_1d": _c(nn.Upsample(scale_factor=2, mode="nearest-exact"), SIGNAL),
    "bicubic": _c(nn.Upsample(scale_factor=2, mode="bicubic"), IMAGE),
}


HANDLERS = importer.HANDLERS
# Cases that look different in core ATen, as a file may have them.
CORE = (
    "conv2d", "conv_transpose1d", "linear", "matmul", "addmm", "batch_norm", "layer_norm",
    "group_norm", "instance_norm", "rms_norm", "softmax", "log_softmax", "hardswish", "silu",
    "max_pool2d", "avg_pool1d", "adaptive_avg_pool2d_odd", "attention_causal", "flatten", "chunk",
    "bilinear", "embedding",
)  # fmt: skip


class _All(nn.Module):
    """Every case in one module: tracing each by itself would take most of the time."""

    def __init__(self) -> None:
        super().__init__()
        self.cases = nn.ModuleDict()
        for name, case in CASES.items():
            made = isinstance(case.call, nn.Module)
            self.cases[f"case_{name}"] = case.call if made else Call(case.call, case.constants)
        for name, buffer in self.named_buffers():
            if "running" in name:
                buffer.copy_(randn(*buffer.shape, seed=3).abs() + 0.5)

    def forward(self, inputs: dict[str, list[Any]]) -> dict[str, Any]:
        """Results by case."""
        return {name: self.cases[f"case_{name}"](*inputs[name]) for name in inputs}


@pytest.fixture(scope="module")
def used() -> set[str]:
    """Operators that a handler was called for."""
    return set()


@contextmanager
def _noted(used: set[str]) -> Iterator[None]:
    """Put the operators whose handlers are called into `used`."""

    def noted(kind: str) -> Any:
        def handle(node: Any) -> Any:
            used.add(kind)
            return HANDLERS[kind](node)

        return handle

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importer, "HANDLERS", {kind: noted(kind) for kind in HANDLERS})
        yield


def _inputs(case: Case) -> list[Any]:
    return [randn(*shape, seed=index) for index, shape in enumerate(case.shapes)]


@pytest.fixture(scope="module")
def outcomes(used: set[str]) -> dict[str, tuple[Arrays, ...]]:
    """By case: what PyTorch computes, the imported module, and that folded."""

    torch.manual_seed(0)
    module = _All().eval()
    inputs = {name: _inputs(case) for name, case in CASES.items()}
    with torch.no_grad():
        wanted = module(inputs)
    counts = [len(leaves(wanted[name])) for name in CASES]
    exported = torch.export.export(module, (inputs,))
    with _noted(used):
        imported = load(exported)
    lists = [run(each, inputs) for each in (imported, Fold().run(imported))]
    split = [iter(each) for each in ([x.numpy() for x in leaves(wanted)], *lists)]
    return {
        name: tuple(list(islice(each, count)) for each in split)
        for name, count in zip(CASES, counts, strict=True)
    }


def test_core_aten_gives_the_same(used: set[str]) -> None:
    module, inputs = _All().eval(), {name: _inputs(CASES[name]) for name in CORE}
    with torch.no_grad():
        wanted = [x.numpy() for x in leaves(module(inputs))]
    exported = torch.export.export(module, (inputs,)).run_decompositions()
    with _noted(used):
        imported = load(exported)
    assert_close(run(imported, inputs), wanted)


@pytest.mark.parametrize("name", CASES)
def test_operator(name: str, outcomes: dict[str, tuple[Arrays, ...]]) -> None:
    wanted, *others = outcomes[name]
    for found in others:
        assert_close(found, wanted)


def test_every_handler_has_a_case(outcomes: dict[str, tuple[Arrays, ...]], used: set[str]) -> None:
    apart = {kind for kind in HANDLERS if kind.startswith("quantized_decomposed.")}
    assert not " ".join(sorted(set(HANDLERS) - used - apart))

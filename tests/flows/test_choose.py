"""The machine that is chosen for a model and a board: its price is what is built."""

from dataclasses import asdict, replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from torch_mlir import ir

from bitwright import api
from bitwright.flows import machine_file
from bitwright.flows.choices_plot import pareto, plot
from bitwright.flows.choose import Choice, Fixed
from bitwright.flows.choose import choose as choose_any
from bitwright.flows.dataflow import DataflowBuild
from bitwright.flows.machine_file import (
    MachineFileError,
    MachineParameterType,
    UnknownMachineParameter,
)
from bitwright.flows.overlay import OverlayMaker
from bitwright.fpga.errors import DoesNotFit
from bitwright.ir import serialize
from bitwright.ir.builder import Builder
from bitwright.ir.machine import Machine, MachineError
from bitwright.ir.types import QuantParams
from bitwright.passes.dataflow.fold import NoFolding
from bitwright.passes.search.candidate import ROUTABLE, Objective, Parameters
from bitwright.passes.search.overlay import Array
from bitwright.passes.tile_program import UnsupportedOnOverlay
from bitwright.report import Report
from bitwright.targets import get_fpga
from bitwright.targets.target import FpgaTarget

X = QuantParams((0.5,), 3, 8, -128, 127)
SMALL = get_fpga("ulx3s-12f")
DIGITS = Path(__file__).parents[2] / "examples" / "digits"
NAMES = ", ".join(Machine.__dataclass_fields__)


def choose(
    module: ir.Module, target: FpgaTarget, fixed: Parameters | None = None,
    objective: Objective = "latency",
) -> Choice:  # fmt: skip
    return choose_any(
        module, target, fixed=Fixed(fixed or {}), objective=objective, style="overlay"
    )


def network(channels: int = 12) -> ir.Module:
    """Convolution with a stride, depthwise convolution, addition, flattening, dense layer."""
    rng = np.random.default_rng(5)
    builder = Builder([("x", (1, 3, 8, 8), X)])

    def weight(*shape: int) -> ir.Value:
        params = QuantParams((0.5,), 0, 4, -7, 7)
        return builder.constant(rng.integers(-7, 8, shape).astype(np.int8), params)

    def requantized(sums: ir.Value) -> ir.Value:
        return builder.requantize(sums, X, multiplier=[30000], shift=[20])

    bias = builder.constant(np.zeros(channels, np.int64))
    x = requantized(
        builder.named("conv").conv2d(
            builder.inputs[0], weight(channels, 3, 3, 3), bias, stride=(2, 2), padding=(1, 1, 1, 1)
        )
    )
    deep = requantized(
        builder.named("deep").conv2d(
            x, weight(channels, 1, 3, 3), bias, padding=(1, 1, 1, 1), groups=channels
        )
    )
    both = requantized(builder.named("sum").add(x, deep, 1, 2))
    flat = builder.reshape(both, (1, channels * 16))
    sums = builder.named("dense").linear(
        flat, weight(10, channels * 16), builder.constant(np.zeros(10, np.int64))
    )
    return builder.finish([("y", requantized(sums))])


def test_every_candidate_is_what_would_be_built() -> None:
    module = network()
    candidates = choose(module, SMALL).candidates
    assert {item.parameters["engine"] for item in candidates} == {"weightserial", "dsp"}
    assert len(candidates) > 20
    maker = OverlayMaker(module, SMALL, {})
    for item in candidates[::5]:
        machine = Machine(**item.parameters)  # pyright: ignore[reportArgumentType]
        built = maker.build(machine)
        assert built.assembled.machine == machine
        assert built.prediction.total == item.cycles == sum(item.spent.values())
        assert min(item.spent.values()) >= 0
        assert built.prediction.interval == item.interval
        assert built.resources == item.resources


def test_no_program_needs_less_than_its_bound() -> None:
    """Otherwise the search would leave out machines that fit."""
    maker = OverlayMaker(network(40), SMALL, {})
    arrays = [Array(2, 8), Array(4, 32), Array(8, 8), Array(16, 64), Array(64, 64)]
    arrays += [Array(2, 8, "dsp", 2, 2), Array(8, 16, "dsp", 4, 8), Array(16, 16, "dsp", 2, 2)]
    for array in arrays:
        least, made = maker.least(array), maker.machine(array)
        bound, need = (dict(maker.resources(m).items()) for m in (least, made))
        assert all(bound[name] <= need[name] for name in need), array
        assert least.weight_words <= made.weight_words


def test_the_best_is_built_and_others_by_other_objectives() -> None:
    module = network()
    fastest = choose(module, SMALL)
    assert fastest.build.prediction.total == min(item.cycles for item in fastest.candidates)
    smallest = choose(module, SMALL, objective="luts")
    assert smallest.build.resources.lut == min(item.resources.lut for item in fastest.candidates)
    assert smallest.build.prediction.total > fastest.build.prediction.total


def test_a_fixed_size_may_take_all_of_the_device() -> None:
    module = network()
    whole = choose(module, SMALL)
    chosen = whole.build
    assert chosen.resources.lut <= ROUTABLE["lut"] * SMALL.resources.lut
    tight = replace(SMALL, resources=replace(SMALL.resources, lut=chosen.resources.lut + 1))
    parameters = whole.candidates[0].parameters
    fixed = {name: parameters[name] for name in ("lanes", "rows", "requant_lanes")}
    kept = choose(module, tight, fixed=fixed).build.assembled.machine
    assert kept == chosen.assembled.machine
    assert choose(module, tight).build.resources.lut <= ROUTABLE["lut"] * tight.resources.lut


def test_routing_gets_no_room_where_nothing_would_fit() -> None:
    module = network()
    least = choose(module, SMALL, objective="luts").build.resources.lut
    tight = replace(SMALL, resources=replace(SMALL.resources, lut=least))
    assert choose(module, tight).build.resources.lut == least


def test_nothing_fits() -> None:
    tiny = replace(SMALL, resources=replace(SMALL.resources, bram=3))
    with pytest.raises(DoesNotFit) as caught:
        choose(network(), tiny)
    assert str(caught.value) == (
        "Design 'the nearest machine for this model, 2 lanes x 8 rows' does not fit target "
        "'ulx3s-12f': bram: needs 7, has 3. Choose a smaller machine, fewer weight bits, or a "
        "larger target"
    )


def test_what_no_machine_runs() -> None:
    builder = Builder([("x", (1, 2, 3, 3), X), ("z", (1, 2, 3, 3), X)])
    sums = builder.named("gate").mul(*builder.inputs)
    module = builder.finish([("y", builder.requantize(sums, X, multiplier=[1], shift=[8]))])
    with pytest.raises(UnsupportedOnOverlay, match=r"bw\.mul \(gate\)"):
        choose(module, SMALL)


def test_a_machine_that_there_cannot_be() -> None:
    with pytest.raises(MachineError) as caught:
        choose(network(), SMALL, fixed={"requant_lanes": 3})
    assert str(caught.value) == (
        "Machine parameter requant_lanes is 3; expected a power of two that is at most lanes (8)"
    )


def test_the_styles_compete() -> None:
    module = network()
    fastest = choose_any(module, SMALL)
    assert {item.style for item in fastest.candidates} == {"overlay", "dataflow"}
    assert fastest.candidates[0].cycles == min(item.cycles for item in fastest.candidates)
    busiest = choose_any(module, SMALL, objective="throughput")
    assert isinstance(busiest.build, DataflowBuild)
    assert busiest.build.times.interval == busiest.candidates[0].interval
    assert busiest.candidates[0].interval == min(item.interval for item in busiest.candidates)


def test_a_style_that_has_no_design_leaves_the_other() -> None:
    tight = replace(SMALL, resources=replace(SMALL.resources, lut=2500))
    assert {item.style for item in choose_any(network(), tight).candidates} == {"overlay"}
    with pytest.raises(NoFolding):
        choose_any(network(), tight, style="dataflow")


def test_what_is_fixed_says_which_style_is_meant() -> None:
    assert Fixed().styles == ["overlay", "dataflow"]
    assert Fixed({"lanes": 8}).styles == ["overlay"]
    assert Fixed(interval=900).styles == ["dataflow"]
    (only,) = choose_any(network(), SMALL, fixed=Fixed(interval=9000)).candidates
    assert only.style == "dataflow"
    assert only.interval <= 9000


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("choose") / "build"
    calibration = DIGITS / "calibration.npz"
    api.compile_model(DIGITS / "digits.onnx", "icebreaker", calibration, weights=4, output=folder)
    return folder


def test_the_build_says_what_there_was_to_choose(compiled: Path) -> None:
    report = Report.load(compiled)
    best = report.candidates[0]
    assert best.parameters == report.target.machine
    assert best.cycles == report.cycles.predicted
    assert best.resources["lut"] == report.resources.lut.predicted
    assert machine_file.load(compiled / "machine.toml") == best.parameters
    assert report.files["machine"] == "machine.toml"


def test_the_machine_file_makes_the_same_machine_and_an_edited_one_another(
    compiled: Path, tmp_path: Path
) -> None:
    module, target = serialize.load(compiled / "model.mlir"), get_fpga("icebreaker")
    path, edited = compiled / "machine.toml", tmp_path / "edited.toml"
    again = choose(module, target, fixed=machine_file.load(path))
    assert asdict(again.build.assembled.machine) == Report.load(compiled).target.machine
    assert len(again.candidates) == 1
    chosen = ("rows", "requant_lanes", "weight_words", "param_words")
    kept = [line for line in path.read_text().splitlines() if not line.startswith(chosen)]
    edited.write_text("\n".join([*kept, "rows = 8"]))
    other = choose(module, target, fixed=machine_file.load(edited)).build.assembled.machine
    assert other.rows == 8
    assert other.weight_words > again.build.assembled.machine.weight_words


def test_a_machine_of_multiplier_blocks_is_made_again() -> None:
    target = get_fpga("ulx3s-85f")
    fixed = {"engine": "dsp", "lanes": 8, "rows": 8, "pixels": 4, "weight_columns": 28}
    machine = asdict(choose(network(), target, fixed).build.assembled.machine)
    assert machine["weight_columns"] == 28
    assert asdict(choose(network(), target, machine).build.assembled.machine) == machine


@pytest.mark.parametrize(("bits", "precision"), [(2, 2), (3, 4), (5, 8)])
def test_the_widest_weight_of_a_dense_layer_gives_the_precision(bits: int, precision: int) -> None:
    builder = Builder([("x", (1, 20), X)])
    weight = np.ones((20, 20), np.int8)
    weight[3, 7] = -(1 << bits - 1)
    params = QuantParams((0.5,), 0, 8, -127, 127)
    sums = builder.linear(
        builder.inputs[0], builder.constant(weight, params),
        builder.constant(np.zeros(20, np.int64)),
    )  # fmt: skip
    y = builder.requantize(sums, X, multiplier=[30000], shift=[20])
    fixed: Parameters = {"engine": "dsp", "lanes": 4, "rows": 16}
    made = choose(builder.finish([("y", y)]), get_fpga("ulx3s-85f"), fixed)
    assert made.build.assembled.machine.precision == precision


def test_picture(compiled: Path) -> None:
    report = Report.load(compiled)
    text = (compiled / "choices.svg").read_text()
    assert text == plot(report)
    picture = ElementTree.fromstring(text)
    circles = [item for item in picture.iter() if item.tag.endswith("circle")]
    points = [item for item in circles if item.get("class") != "mark"]
    assert len(points) == 3 * len(report.candidates)
    assert sum(item.get("class") == "point chosen" for item in points) == 3
    assert all(0 <= float(item.attrib[axis]) <= 300 for item in circles for axis in ("cx", "cy"))


def test_pareto() -> None:
    assert pareto([5, 3, 3, 9, 7], [10.0, 2.0, 4.0, 30.0, 10.0]) == [2, 0, 3]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("rowz = 8", UnknownMachineParameter,
         f"Machine parameter rowz=8 of FILE is not known; expected one of {NAMES}"),
        ("lanes = 8.0", MachineParameterType,
         "Machine parameter lanes=8.0 of FILE is not a whole number; expected one"),
        ("tables = true", MachineParameterType,
         "Machine parameter tables=True of FILE is not a whole number; expected one"),
        ("engine = 1", MachineParameterType,
         "Machine parameter engine=1 of FILE is not a text; expected one"),
        ("lanes 8", MachineFileError,
         "Machine file FILE is not TOML: Expected '=' after a key in a key/value pair (at line 1, "
         "column 7); expected lines such as: lanes = 8"),
        (None, MachineFileError,
         "Machine file FILE cannot be read: No such file or directory; expected a TOML file of "
         "machine parameters, such as the machine.toml of a build folder, or lanes=8,rows=16"),
    ],
)  # fmt: skip
def test_machine_files_that_are_refused(
    tmp_path: Path, text: str | None, error: type[Exception], message: str
) -> None:
    path = tmp_path / "m.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(error) as caught:
        api.compile_model(DIGITS / "digits.onnx", "ulx3s-12f", machine=path)
    assert str(caught.value) == message.replace("FILE", str(path))


def test_an_unknown_parameter_without_a_file() -> None:
    with pytest.raises(UnknownMachineParameter) as caught:
        api.compile_model(DIGITS / "digits.onnx", "ulx3s-12f", machine={"line": 8})
    assert str(caught.value) == (f"Machine parameter line=8 is not known; expected one of {NAMES}")

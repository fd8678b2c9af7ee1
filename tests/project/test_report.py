"""report.json: written, read, merged, checked and printed."""

import json
from dataclasses import asdict, fields, is_dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from rich.console import Console

from bitwright import report as report_module
from bitwright.files import OutputNotWritable
from bitwright.report import (
    Accuracy,
    Candidate,
    InvalidReport,
    Model,
    NotABuildFolder,
    Quantization,
    Report,
    Resources,
    Step,
    Target,
    Tensor,
)
from bitwright.report_table import candidates_table, cycles_table, report_table

CANDIDATE = Candidate(
    style="overlay",
    parameters={"engine": "weightserial", "lanes": 8, "rows": 16, "requant_lanes": 2},
    cycles=16_000,
    interval=16_100,
    resources={"lut": 3_900, "ff": 2_000, "bram": 40, "dsp": 4, "spram": 0},
    spent={"matrix": 12_000, "channelwise": 3_960, "output": 0, "start": 40},
    limits=("32 rows: 60 BRAM", "requantize 4: no faster"),
)


def make(kind: Any = "fpga") -> Report:
    return Report(
        model=Model(
            name="digits",
            file="digits.onnx",
            sha256="0" * 64,
            parameters=13_642,
            macs=182_144,
            inputs=(Tensor(name="image", shape=(1, 1, 8, 8), type="i8"),),
            outputs=(Tensor(name="logits", shape=(1, 10), type="i8"),),
        ),
        target=Target(name="ulx3s-12f", kind=kind, device="LFE5U-12F", machine={"lanes": 8}),
        quantization=Quantization(weight_bits=4, activation_bits=8, calibration_samples=160),
        created="2026-11-21T01:02:03Z",
        seeds={"place and route": 1},
    )


def full() -> Report:
    report = make()
    report.set_cycles(predicted=16_000, steps=(Step(name="stem", predicted=4_000),))
    report.set_cycles(simulated=16_000)
    report.set_clock(100.0)
    report.set_clock(50.0, fmax_mhz=104.5)
    report.set_bit_exact("rtl", samples=36, elements=360, mismatches=0)
    report.set_bit_exact("netlist", samples=2, elements=20, mismatches=3)
    report.set_resources("available", {"lut": 24_288, "bram": 56, "dsp": 28})
    report.set_resources("predicted", {"lut": 3_900, "bram": 40, "dsp": 4})
    report.set_resources("synthesised", {"lut": 4_000, "ff": 2_000, "bram": 40, "dsp": 4})
    report.set_resources("routed", {"lut": 4_100, "ff": 2_000, "bram": 40, "dsp": 4})
    report.candidates = (CANDIDATE, replace(CANDIDATE, cycles=20_000, limits=()))
    report.accuracy = Accuracy(metric="top-1", samples=360, float_model=0.9833, quantized=0.98)
    report.tools["verilator"] = "5.48"
    report.files["bitstream"] = "fpga/top.bit"
    report.seconds["synthesis"] = 21.5
    return report


@pytest.mark.parametrize("report", [make("cpu"), make(), full()], ids=["cpu", "new", "full"])
def test_what_is_saved_is_loaded(tmp_path: Path, report: Report) -> None:
    assert report.save(tmp_path) == tmp_path / "report.json"
    assert Report.load(tmp_path) == report
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_the_document_has_every_documented_field() -> None:
    document = full().to_document()
    assert document["schema_version"] == 3
    assert document["cycles"]["predicted"] == document["cycles"]["simulated"] == 16_000
    assert document["resources"]["lut"] == {
        "predicted": 3_900,
        "synthesised": 4_000,
        "routed": 4_100,
        "available": 24_288,
    }
    assert document["bit_exact"]["cpu"] is None
    assert document["bit_exact"]["rtl"]["exact"] is True
    assert document["bit_exact"]["netlist"]["exact"] is False


def test_a_bitstream_is_forgotten_before_it_is_made_again() -> None:
    report = full()
    report.forget_bitstream()
    assert asdict(report.resources.lut) == {
        "predicted": 3_900, "synthesised": None, "routed": None, "available": 24_288
    }  # fmt: skip
    assert report.fmax_mhz is report.bit_exact.netlist is None
    assert report.bit_exact.rtl is not None
    assert not report.files


def test_speed_follows_from_cycles_and_clock() -> None:
    report = full()
    assert report.fmax_mhz == 104.5
    assert report.latency_us == pytest.approx(16_000 / 50)
    assert report.throughput == pytest.approx(50e6 / 16_000)


def test_a_processor_has_no_derived_speed() -> None:
    report = make("cpu")
    report.set_cycles(predicted=5)
    report.set_clock(100.0)
    assert report.latency_us is None


def schema() -> dict[str, Any]:
    return json.loads(files("bitwright").joinpath("report.schema.json").read_text())


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(schema())


def test_the_schema_and_the_classes_have_the_same_fields() -> None:
    document = schema()
    top = {"schema_version"} | {item.name for item in fields(Report)}
    assert set(document["properties"]) == set(document["required"]) == top
    classes = {
        "model": "Model",
        "target": "Target",
        "quantization": "Quantization",
        "cycles": "Cycles",
        "bit_exact": "BitExact",
        "accuracy": "Accuracy",
        "resources": "Resources",
    }
    parts = {
        **{cls: document["properties"][name] for name, cls in classes.items()},
        "Tensor": document["$defs"]["tensor"],
        "Comparison": document["$defs"]["comparison"],
        "Resource": document["$defs"]["resource"],
        "Deviation": document["properties"]["quantization"]["properties"]["deviations"]["items"],
        "Candidate": document["properties"]["candidates"]["items"],
        "Step": document["properties"]["cycles"]["properties"]["steps"]["items"],
    }
    for name, part in parts.items():
        cls = getattr(report_module, name)
        assert is_dataclass(cls)
        names = {item.name for item in fields(cls)}
        assert set(part["properties"]) == set(part["required"]) == names, name


def test_every_field_of_the_schema_is_in_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs" / "report.md").read_text()
    for name, part in schema()["properties"].items():
        assert f"`{name}`" in text, name
        for inner in part.get("properties", {}):
            assert f"`{inner}`" in text, f"{name}.{inner}"


def test_no_report(tmp_path: Path) -> None:
    with pytest.raises(NotABuildFolder) as caught:
        Report.load(tmp_path / "build")
    assert str(caught.value) == (
        f"Folder {tmp_path}/build has no report.json; expected a build folder; make one with: "
        f"bitwright compile MODEL --target TARGET --calibration SAMPLES -o {tmp_path}/build"
    )
    assert caught.value.exit_code == 6


def test_not_json(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(InvalidReport) as caught:
        Report.load(tmp_path)
    assert str(caught.value) == (
        f"File {tmp_path}/report.json is not JSON (Expecting property name enclosed in double "
        "quotes: line 1 column 2 (char 1)); compile the model again"
    )


def test_a_report_of_a_newer_version(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"schema_version": 4}')
    with pytest.raises(InvalidReport) as caught:
        Report.load(tmp_path)
    assert str(caught.value) == (
        f"File {tmp_path}/report.json has schema version 4; this Bitwright reads up to version 3; "
        "use a newer Bitwright, or compile the model again"
    )


def test_a_broken_field(tmp_path: Path) -> None:
    document = full().to_document()
    document["cycles"]["simulated"] = -1
    (tmp_path / "report.json").write_text(json.dumps(document))
    with pytest.raises(InvalidReport) as caught:
        Report.load(tmp_path)
    assert str(caught.value) == (
        f"File {tmp_path}/report.json does not follow report schema version 3 at "
        "cycles.simulated: -1 is less than the minimum of 0; compile the model again"
    )


def test_what_breaks_the_schema_is_not_written(tmp_path: Path) -> None:
    report = full()
    report.save(tmp_path)
    before = (tmp_path / "report.json").read_bytes()
    report.clock_mhz = 0
    with pytest.raises(InvalidReport, match="at clock_mhz: 0 is less than or equal to"):
        report.save(tmp_path)
    assert (tmp_path / "report.json").read_bytes() == before


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputNotWritable):
        make().save(tmp_path / "missing")


def shown(table: Any) -> list[list[str]]:
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(table)
        lines = console.export_text().splitlines()
    return [[cell.strip() for cell in line.strip("│┃").split("│")] for line in lines if "│" in line]


def test_table() -> None:
    rows = {row[0]: row[1:] for row in shown(report_table([make("cpu"), full()]))}
    assert rows["quantization"] == ["W4A8", "W4A8"]
    assert rows["accuracy, quantized"] == ["-", "98.00 %"]
    assert rows["RTL = reference"] == ["-", "yes (36 inputs, 360 values)"]
    assert rows["netlist = reference"] == ["-", "NO (3 of 20 values differ)"]
    assert rows["LUT, predicted / synthesised / routed"][1] == "3,900 / 4,000 / 4,100 (17 %)"
    assert rows["Fmax (MHz)"] == ["-", "104.5"]
    assert rows["inferences per second"] == ["-", "3,125"]
    assert "CPU = reference" not in rows
    assert "SPRAM" not in rows


def test_cycles_table() -> None:
    assert shown(cycles_table(full())) == [["stem", "4,000", "25.0 %"]]


def test_resources_are_all_kinds() -> None:
    assert [item.name for item in fields(Resources)] == ["lut", "ff", "bram", "dsp", "spram"]


def test_candidates_table() -> None:
    assert shown(candidates_table(full(), top=1)) == [
        ["8 x 16, requantize 2", "16,000", "3,106", "3,900", "40", "4",
         "matrix 75 %, channelwise 25 %", "32 rows: 60 BRAM, requantize 4: no faster"],
    ]  # fmt: skip
    assert len(shown(candidates_table(full(), top=10))) == 2
    report = full()
    stages = {f"conv{number}": 100 * number for number in range(1, 8)}
    pipeline = replace(
        CANDIDATE, style="dataflow", parameters={"stages": 7, "interval": 1_200}, cycles=2_800,
        interval=1_200, spent=stages, limits=("interval 1,000: does not fit",),
    )  # fmt: skip
    report.candidates = (pipeline,)
    assert shown(candidates_table(report, top=1)) == [
        ["pipeline of 7, every 1,200", "2,800", "41,667", "3,900", "40", "4", "25 % in conv7",
         "interval 1,000: does not fit"],
    ]  # fmt: skip

"""The folder of Verilog."""

import re

import pytest

from bitwright.hwgen.core import Core
from bitwright.hwgen.image import Image, pack_params
from bitwright.hwgen.isa import encode, program_bits
from bitwright.hwgen.verilog import VerilogError, emit


def test_one_module_per_file_and_the_image_as_power_up_contents(
    small_machine, compute, program, tmp_path
):
    machine = small_machine()
    words = encode(machine, program(compute(y0=-1)))
    image = Image(machine, words, [7], pack_params(machine, [(0, 1, 1)]), [1, 2])
    image.save(tmp_path / "image")
    files = emit(
        Core(machine=machine), tmp_path / "rtl", name="machine", init_image=tmp_path / "image"
    )
    assert files[0].name == "machine.v"
    assert [file.name for file in files[-4:]] == [
        "bitwright_ram.v", "bitwright_add.v", "bitwright_choose.v", "bitwright_gated_add.v",
    ]  # fmt: skip
    for file in files:
        assert re.search(rf"^module {file.stem}\b", file.read_text(), re.MULTILINE)
        assert file.read_text().count("endmodule") == 1
    kept = (tmp_path / "rtl" / "program.hex").read_text().split()
    mask = (1 << program_bits(machine)) - 1
    assert [int(word, 16) for word in kept] == [word & mask for word in words]
    weights = next(file for file in files if "weights" in file.stem)
    assert '.INIT_FILE("weights.hex")' in weights.read_text()
    plain = emit(Core(machine=machine), tmp_path / "plain", name="machine")
    assert all(".hex" not in file.read_text() for file in plain)


def test_a_folder_that_cannot_be_written(small_machine, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(VerilogError) as caught:
        emit(Core(machine=small_machine()), tmp_path / "file" / "rtl", name="machine")
    assert str(caught.value).startswith(
        f"Verilog of machine cannot be written to {tmp_path}/file/rtl: "
    )
    assert str(caught.value).endswith("; choose another folder")

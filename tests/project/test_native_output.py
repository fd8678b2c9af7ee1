import os

import pytest

from bitwright.native_output import no_native_stdout


@no_native_stdout()
def print_and_fail():
    os.write(1, b"debugging")
    raise ZeroDivisionError


def test_what_is_written_past_python_does_not_arrive_and_what_follows_does(capfd):
    with pytest.raises(ZeroDivisionError):
        print_and_fail()
    os.write(1, b"after")
    assert capfd.readouterr().out == "after"

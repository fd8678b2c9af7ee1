"""Skipped tests are a failure in CI, unless it is the data folder that is missing."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
CONFTEST = (Path(__file__).parents[1] / "conftest.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("in_ci", "reason", "exit_code"),
    [
        (True, "no compiler", pytest.ExitCode.TESTS_FAILED),
        (True, "BITWRIGHT_DATA is not set", pytest.ExitCode.OK),
        (False, "no compiler", pytest.ExitCode.OK),
    ],
)
def test_skips(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    in_ci: bool,
    reason: str,
    exit_code: int,
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("CI", "true" if in_ci else "")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(f"import pytest\ndef test_a(): pass\ndef test_b(): pytest.skip({reason!r})")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    assert result.ret == exit_code
    assert ("nothing may be skipped" in result.stdout.str()) == (exit_code != 0)


def test_data_folder(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("def test_a(data_folder): assert str(data_folder) == '/some/where'")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("BITWRIGHT_DATA", "/some/where")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    monkeypatch.delenv("BITWRIGHT_DATA")
    pytester.runpytest_subprocess().assert_outcomes(skipped=1)


def test_a_module_skipped(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("CI", "true")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("import pytest\npytest.importorskip('nothing', reason='nothing is there')")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        ["skipped in CI, where nothing may be skipped: nothing is there", "*1 error*"]
    )

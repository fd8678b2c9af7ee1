"""The processor of this computer."""

from bitwright.targets.target import CpuTarget

TARGET = CpuTarget(name="cpu", title="native shared library for the processor of this computer")

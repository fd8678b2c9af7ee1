"""What the masters for external memory have in common: commands and data as streams."""

from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, Signature

from bitwright.ir.machine import MachineError


def command_layout(address_bits: int, words_bits: int) -> data.StructLayout:
    """A transfer of `words` (1 or more) words from word `address` on; `write` is its direction."""
    return data.StructLayout({"address": address_bits, "words": words_bits, "write": 1})


class ReadPortSignature(Signature):
    """What a unit needs of a memory port that only reads; members as in `MemoryPortSignature`.

    Attributes:
        parameters: of the whole port.
    """

    def __init__(self, *, data_bits: int, address_bits: int, words_bits: int) -> None:
        self.parameters = {
            "data_bits": data_bits, "address_bits": address_bits, "words_bits": words_bits
        }  # fmt: skip
        super().__init__(
            {
                "command": Out(stream.Signature(command_layout(address_bits, words_bits))),
                "read_data": In(stream.Signature(data_bits)),
                "failed": In(1),
            }
        )


class MemoryPortSignature(Signature):
    """Transfers of whole words, seen from who asks for them.

    Commands are carried out one after the other: a read gives what the writes before it wrote.
    `write_data` and `read_data` carry the words of all commands in their order, without gaps or
    marks between them.

    Args:
        data_bits: width of a word.
        address_bits: addresses count words.
        words_bits: width of a command's number of words.

    Members:
        command, write_data, read_data: streams.
        idle: nothing is under way, all writes have been acknowledged.
        failed: the memory has answered a transfer with an error since reset.
    """

    def __init__(self, *, data_bits: int, address_bits: int, words_bits: int) -> None:
        if data_bits < 8 or data_bits & (data_bits - 1):
            raise MachineError(
                f"Memory port has words of {data_bits} bits; expected a power of two, at least 8"
            )
        if not 0 < words_bits <= address_bits:
            raise MachineError(
                f"Memory port has commands of {words_bits} bits of words and {address_bits} bits "
                f"of address; expected at least 1 and no more than the address"
            )
        super().__init__(
            {
                "command": Out(stream.Signature(command_layout(address_bits, words_bits))),
                "write_data": Out(stream.Signature(data_bits)),
                "read_data": In(stream.Signature(data_bits)),
                "idle": In(1),
                "failed": In(1),
            }
        )

"""How the host sees a tensor: words of its stream, each channel in 8, 16 or 32 bits."""

from amaranth.hdl import Cat, Const, Value

from bitwright.ir.dataflow import Tensor

_FIELDS = (8, 16, 32)


def field_bits(tensor: Tensor) -> int:
    """Bits of one channel in the host's words."""
    return next(bits for bits in _FIELDS if bits >= tensor.bits)


def from_host(tensor: Tensor, word: Value) -> Value:
    """The stream's word that is in a word of the host."""
    field = field_bits(tensor)
    return Cat(word.word_select(n, field)[: tensor.bits] for n in range(len(word) // field))


def to_host(tensor: Tensor, word: Value) -> Value:
    """A word of the stream as the host sees it, signs extended."""
    bits, more = tensor.bits, field_bits(tensor) - tensor.bits
    fields: list[Value] = []
    for number in range(len(word) // bits):
        channel = word.word_select(number, bits)
        sign = channel[-1] if tensor.signed else Const(0, 1)
        fields += [channel, sign.replicate(more)]
    return Cat(fields)


def words(tensor: Tensor, lanes: int) -> int:
    """Words of `lanes` channels of one image."""
    return tensor.height * tensor.width * (tensor.channels // lanes)

"""The C around the objects of a language model: `model.h`, sessions, an example."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from bitwright.codegen.cpu.arena import ALIGNMENT
from bitwright.codegen.cpu.level import CpuLevel
from bitwright.codegen.cpu.shared_c import BEGIN, DECLARED, INCLUDES, common
from bitwright.codegen.cpu.threads_c import THREADS

LANGUAGE_MODEL = "a language model"
WEIGHTS = "model.weights"


@dataclass(frozen=True)
class Slot:
    """Where an argument of an entry lies: `kind` is one of the C enumeration, `at` its number."""

    kind: str
    at: int


@dataclass(frozen=True, kw_only=True)
class DecoderInterface:
    """What the C files say about one language model.

    Attributes:
        rows: tokens of a prompt that are computed together.
        position_bytes: of one position in one of the `caches`.
        slots: of each level, of each function.
        texts: where in the weights the ends of the tokens' texts lie, and where these; or None.
        seal: the end of the file of weights; None where they lie in the library.
    """

    model: str
    levels: tuple[CpuLevel, ...]
    vocabulary: int
    context: int
    rows: int
    caches: int
    position_bytes: int
    arena_bytes: int
    slots: Sequence[dict[str, list[Slot]]]
    texts: tuple[int, int] | None
    weight_bytes: int
    seal: bytes | None


def described(given: DecoderInterface) -> dict[str, Any]:
    """What the manifest says about it."""
    return {
        "vocabulary": given.vocabulary, "context": given.context, "prompt_rows": given.rows,
        "arena_bytes": given.arena_bytes, "weight_bytes": given.weight_bytes,
        "cache_bytes_per_position": given.caches * given.position_bytes,
    }  # fmt: skip


def header(given: DecoderInterface) -> str:
    """`model.h`."""
    inside = "They lie in the library: NULL"
    beside = f"NULL: the file {WEIGHTS} beside the library, else its path"
    return _text("model.h").format(
        model=given.model.replace("*/", "* /"), cpu=", ".join(level.name for level in given.levels),
        begin=BEGIN, common=DECLARED, vocabulary=given.vocabulary, context=given.context,
        weights=inside if given.seal is None else beside,
        position_bytes=given.caches * given.position_bytes,
    )  # fmt: skip


def source(given: DecoderInterface) -> str:
    """The functions that `model.h` declares, around the entries of the objects."""
    tables: list[str] = []
    codes: list[str] = []
    for number, level in enumerate(given.slots):
        functions: list[str] = []
        for function, slots in level.items():
            name = f"{function}{number}"
            rows = ", ".join(f"{{{slot.kind}, {slot.at}}}" for slot in slots)
            tables.append(f"extern void {name}(ENTRY_PARAMETERS);")
            tables.append(f"static const struct slot {name}_slots[] = {{{rows}}};")
            functions.append(f"{{{name}, {name}_slots, {len(slots)}}}")
        codes.append(", ".join(functions))
    kind = "inside" if given.seal is None else "file"
    ends, texts = given.texts or (0, 0)
    return "\n".join(
        [
            INCLUDES,
            _text("session_types.c"),
            *tables,
            common(given.model, LANGUAGE_MODEL, given.levels, codes),
            _text("session_work.c"),
            THREADS,
            "enum {",
            f"    prompt_rows = {given.rows}, caches = {given.caches},",
            f"    position_bytes = {given.position_bytes}, alignment = {ALIGNMENT},",
            f"    has_texts = {int(given.texts is not None)}",
            "};",
            f"static const size_t arena_bytes = {given.arena_bytes}u;",
            f"static const size_t weight_bytes = {given.weight_bytes}u;",
            f"static const size_t ends_at = {ends}u, texts_at = {texts}u;",
            f'#define WEIGHTS_FILE "{WEIGHTS}"',
            *_seal(given.seal),
            _text(f"weights_{kind}.c"),
            _text("session.c"),
        ]
    )


def _seal(seal: bytes | None) -> list[str]:
    if seal is None:
        return []
    return [f"static const unsigned char seal[] = {{{', '.join(map(str, seal))}}};"]


def example() -> str:
    """A C program that continues a prompt."""
    return _text("example.c")


def _text(name: str) -> str:
    """A file of `session/`."""
    path = files("bitwright.codegen.cpu").joinpath("session", name)
    return path.read_text(encoding="utf-8")

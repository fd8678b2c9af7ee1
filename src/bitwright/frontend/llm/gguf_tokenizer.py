"""The tokenizer in a GGUF file's metadata.

`llama` is SentencePiece's (also Gemma's), `gpt2` byte-level BPE with the regular expressions that
`tokenizer.ggml.pre` names. Source: the GGUF specification and llama.cpp's vocabulary loader.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bitwright.frontend.llm.decoder import Tokenizer
from bitwright.frontend.llm.errors import InvalidModelError
from bitwright.frontend.llm.fields import Fields
from bitwright.frontend.llm.hugging_face_tokenizer import SPACE, HuggingFaceTokenizer
from bitwright.frontend.llm.packages import package
from bitwright.frontend.llm.score_bpe import ScoreBpe

PREFIX = "tokenizer.ggml."
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_OTHERS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*|\p{{N}}"
)

EXPRESSIONS: Mapping[str, tuple[str, ...]] = {
    "default": (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"),
    "gpt-2": (_GPT2,),
    "llama-bpe": (_WORDS + r"\p{N}{1,3}" + _OTHERS,),
    "qwen2": (_WORDS + r"\p{N}" + _OTHERS,),
    "deepseek-r1-qwen": (_WORDS + r"\p{N}" + _OTHERS,),
    "smollm": (r"\p{N}", _GPT2),
    "tekken": (_CASED + _OTHERS.replace(r"[\r\n]*", r"[\r\n/]*"),),
}
"""`tokenizer.ggml.pre` -> what cuts a text into words, one after the other."""

WHOLE_WORDS = frozenset({"llama-bpe", "tekken"})
"""Where a word that is a token is taken as it is, and where a prompt has a begin token."""

NO_TOKENIZER = ("none", "no_vocab")
"""What llama.cpp calls it."""


def of_metadata(
    where: str, metadata: Mapping[str, Any], vocabulary: int
) -> tuple[Tokenizer | None, tuple[str, ...]]:
    """The tokenizer, None where the file has none, and what to note about it.

    Raises:
        InvalidModelError: the metadata contradict each other.
        UnsupportedAttributeError: a kind of tokenizer that is not one of ours.
        MissingPackageError: `tokenizers` is not installed.
    """
    fields = Fields(where, metadata)
    kind = fields.any(f"{PREFIX}model")
    if kind is None or (isinstance(kind, str) and kind in NO_TOKENIZER):
        return None, ("the file has no tokenizer",)
    if not isinstance(kind, str) or kind not in ("llama", "gpt2"):
        raise fields.unsupported(f"{PREFIX}model", kind, "llama, gpt2")
    read = _Reader(fields, vocabulary)
    if kind == "llama":
        return read.scored(), ()
    return read.byte_level()


class _Reader:
    def __init__(self, fields: Fields, vocabulary: int) -> None:
        self._fields = fields
        tokens = fields.any(f"{PREFIX}tokens")
        if not isinstance(tokens, list) or not 0 < len(tokens) <= vocabulary:
            found = len(tokens) if isinstance(tokens, list) else None
            raise fields.wrong(f"{PREFIX}tokens", found, f"1 to {vocabulary} strings")
        self._tokens: list[bytes] = tokens
        types = self._numbers("token_type", NORMAL)
        self._of_type = {
            kind: np.flatnonzero(types == kind).tolist() for kind in range(NORMAL, BYTE + 1)
        }
        if self._fields.flag(f"{PREFIX}add_eos_token"):
            raise fields.unsupported(f"{PREFIX}add_eos_token", True, "false")
        ids = (self._id(f"{name}_token_id") for name in ("eos", "eot", "eom"))
        self._stops = frozenset(token for token in ids if token is not None)

    def scored(self) -> ScoreBpe:
        """SentencePiece's BPE."""
        pieces = [token.replace(SPACE.encode(), b" ") for token in self._tokens]
        scores = self._numbers("scores", 0)
        if not np.isfinite(scores).all():
            raise self._fields.wrong(f"{PREFIX}scores", "infinite or no numbers", "numbers")
        byte_tokens = {self._byte(token): token for token in self._of_type[BYTE]}
        return ScoreBpe(
            pieces,
            scores.tolist(),
            joined=self._of_type[NORMAL] + self._of_type[USER_DEFINED],
            byte_tokens=byte_tokens,
            unknown=self._id("unknown_token_id"),
            begin=self._begin(True),
            stops=self._stops,
            whole=self._of_type[CONTROL] + self._of_type[USER_DEFINED],
            silent=frozenset(self._of_type[CONTROL] + self._of_type[UNKNOWN]),
            prefix_space=self._flag("add_space_prefix", True),
        )

    def byte_level(self) -> tuple[HuggingFaceTokenizer, tuple[str, ...]]:
        """GPT-2's BPE on bytes."""
        fields = self._fields
        named = fields.any(f"{PREFIX}pre")
        name = "default" if named is None else named
        if not isinstance(name, str) or name not in EXPRESSIONS:
            raise fields.unsupported(f"{PREFIX}pre", name, ", ".join(EXPRESSIONS))
        merges = fields.any(f"{PREFIX}merges")
        if not isinstance(merges, list):
            raise fields.wrong(f"{PREFIX}merges", merges, "an array of strings")
        texts = [token.decode("utf-8", "replace") for token in self._tokens]
        pairs = [tuple(merge.decode("utf-8", "replace").split(" ")) for merge in merges]
        if any(len(pair) != 2 for pair in pairs):
            raise fields.wrong(f"{PREFIX}merges", "one without a space", "two pieces each")
        library = package("tokenizers", "byte-level tokenizers")
        vocabulary = {text: token for token, text in enumerate(texts)}
        try:
            model = library.models.BPE(vocabulary, pairs, ignore_merges=name in WHOLE_WORDS)
        except Exception as error:  # the package raises nothing more special
            raise InvalidModelError(
                f"{fields.where}: its tokens and merges are no tokenizer: {error}. Download or "
                "convert the model again"
            ) from None
        tokenizer = library.Tokenizer(model)
        cuts = [
            library.pre_tokenizers.Split(library.Regex(expression), "isolated")
            for expression in EXPRESSIONS[name]
        ]
        in_bytes = library.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = library.pre_tokenizers.Sequence([*cuts, in_bytes])
        tokenizer.decoder = library.decoders.ByteLevel()
        for kind, special in ((CONTROL, True), (USER_DEFINED, False)):
            tokenizer.add_tokens(
                [
                    library.AddedToken(texts[token], special=special, normalized=False)
                    for token in self._of_type[kind]
                    if texts[token]
                ]
            )
        notes = () if named else (f"{PREFIX}pre is missing: words are cut as `default` does",)
        begin = self._begin(name in WHOLE_WORDS)
        made = HuggingFaceTokenizer(tokenizer, byte_level=True, begin=begin, stops=self._stops)
        return made, notes

    def _begin(self, default: bool) -> int | None:
        """The begin-of-text token, where the model wants one."""
        if not self._flag("add_bos_token", default):
            return None
        return self._id("bos_token_id", needed=True)

    def _byte(self, token: int) -> int:
        """The byte that a piece such as <0x0A> stands for."""
        text = self._tokens[token]
        try:
            (byte,) = bytes.fromhex(text[3:-1].decode("ascii"))
        except (ValueError, UnicodeDecodeError):
            raise self._fields.wrong(
                f"{PREFIX}tokens", text, f"a byte such as <0x0A> as token {token}"
            ) from None
        return byte

    def _flag(self, name: str, default: bool) -> bool:
        found = self._fields.any(f"{PREFIX}{name}")
        return default if found is None else self._fields.flag(f"{PREFIX}{name}")

    def _id(self, name: str, *, needed: bool = False) -> int | None:
        token = self._fields.any(f"{PREFIX}{name}")
        if token is None and not needed:
            return None
        if not isinstance(token, int) or not 0 <= token < len(self._tokens):
            raise self._fields.wrong(
                f"{PREFIX}{name}", token, f"a token, 0 to {len(self._tokens) - 1}"
            )
        return token

    def _numbers(self, name: str, default: int) -> Any:
        """One number for each token."""
        found = self._fields.any(f"{PREFIX}{name}")
        if found is None:
            return np.full(len(self._tokens), default)
        if not isinstance(found, np.ndarray) or found.shape != (len(self._tokens),):
            raise self._fields.wrong(
                f"{PREFIX}{name}", f"{np.size(found)} values", f"{len(self._tokens)} numbers"
            )
        return found

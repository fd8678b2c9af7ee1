"""In which step of a stage each weight is used."""

import numpy as np
from numpy.typing import NDArray

from bitwright.ir.dataflow import ChannelwiseStage, MatrixStage


def weight_words(stage: MatrixStage | ChannelwiseStage) -> NDArray[np.int64]:
    """Weights [word, row, lane], a word for each step until they begin anew.

    Those of a last block of rows that nobody reads repeat a row; a channelwise stage has one row.
    """
    fold, weights = stage.fold, stage.weights
    assert weights is not None
    if isinstance(stage, MatrixStage):
        unread = ((0, stage.blocks * fold.rows - len(weights)), (0, 0), (0, 0), (0, 0))
        rows = np.pad(weights, unread, mode="edge")
        blocks = rows.reshape(stage.blocks, fold.rows, stage.tile_steps, fold.lanes)
        return blocks.swapaxes(1, 2).reshape(-1, fold.rows, fold.lanes)
    taps = weights.reshape(-1, stage.result.channels // fold.lanes, fold.lanes)
    return taps.swapaxes(0, 1).reshape(-1, 1, fold.lanes)


def varying_bits(words: NDArray[np.int64], bits: int) -> int:
    """Bits of such a word, of weights of `bits`, that are not the same in all words."""
    if bits == 1:  # 0 for -1
        words = (words + 1) // 2
    different = np.bitwise_or.reduce(words ^ words[0], axis=0) & (1 << bits) - 1
    return int(np.bitwise_count(different).sum())

"""Train the digits network and write digits.onnx, calibration.npz and test.npz beside this file.

    python examples/digits/train.py            # about a minute on one core

The data are scikit-learn's digits: 1,797 scans of handwritten digits, 8x8 pixels of 0 to 16, from
the UCI "Optical Recognition of Handwritten Digits" set. A fifth of them, drawn once and stratified,
is held out and seen by nothing but the final count. Everything is seeded; on another processor the
last bits of the weights may differ, which is why the trained model is committed.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from network import Array, Chain, Conv, Dense, Graph, MaxPool, Relu
from numpy.typing import NDArray
from onnx import TensorProto, helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SEED = 7
EPOCHS = 120
BATCH = 64
RATE = 3e-3
DECAY = 1e-2
CALIBRATION_IMAGES = 160
FOLDER = Path(__file__).parent


def build(rng: np.random.Generator) -> Chain:
    """Channel counts are multiples of 8, the number of lanes of the small machines."""
    return Chain(
        Conv("stem", 1, 16, 3, rng),
        Relu("stem.relu"),
        Conv("spatial", 16, 16, 3, rng, depthwise=True),
        Relu("spatial.relu"),
        Conv("down", 16, 32, 3, rng, stride=2),
        Relu("down.relu"),
        Chain(
            Conv("block.first", 32, 16, 1, rng),
            Relu("block.first.relu"),
            Conv("block.second", 16, 32, 3, rng),
            residual="block.add",
        ),
        Relu("block.relu"),
        MaxPool("pool"),
        Conv("wide", 32, 48, 1, rng),
        Relu("wide.relu"),
        Dense("logits", 48 * 2 * 2, 10, rng),
    )


def augment(images: Array, rng: np.random.Generator) -> Array:
    """Shift each image by up to one pixel in each direction, and add a little noise."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    dy, dx = rng.integers(0, 3, (2, len(images)))
    rows = dy[:, None] + np.arange(8)
    columns = dx[:, None] + np.arange(8)
    shifted = padded[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None]]
    noise = rng.normal(0, 0.03, shifted.shape) * (shifted > 0)
    return np.clip(shifted + noise, 0, 1).astype(np.float32)


def train(
    network: Chain, images: Array, labels: NDArray[np.int64], rng: np.random.Generator
) -> None:
    """Softmax cross entropy with smoothed labels, AdamW, the rate following a half cosine."""
    target = np.eye(10, dtype=np.float32)[labels] * 0.9 + 0.01
    batches = len(images) // BATCH
    steps = EPOCHS * batches
    step = 0
    for epoch in range(EPOCHS):
        order = rng.permutation(len(images))
        loss = 0.0
        for batch in range(batches):
            step += 1
            chosen = order[batch * BATCH : (batch + 1) * BATCH]
            logits = network.forward(augment(images[chosen], rng))
            shifted = logits - logits.max(1, keepdims=True)
            log_probability = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
            loss -= float((target[chosen] * log_probability).sum(1).mean()) / batches
            network.backward((np.exp(log_probability) - target[chosen]) / BATCH)
            rate = RATE * min(1.0, step / 50) * 0.5 * (1 + np.cos(np.pi * step / steps))
            for parameter in network.parameters():
                parameter.adam(step, rate, DECAY)
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1:3d} of {EPOCHS}: training loss {loss:.4f}", flush=True)


def export(network: Chain) -> onnx.ModelProto:
    """ONNX, opset 17: `image` float32 [N, 1, 8, 8] to `logits` float32 [N, 10]."""
    graph = Graph()
    network.export(graph, "image")
    description = helper.make_graph(
        graph.nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
        graph.initializers,
    )
    model = helper.make_model(
        description,
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="bitwright examples/digits/train.py",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    digits: Any = load_digits()
    images = (digits.images[..., None] / 16).astype(np.float32)
    split: Any = train_test_split(
        images, digits.target, test_size=360, stratify=digits.target, random_state=SEED
    )
    train_images, test_images, train_labels, test_labels = split
    rng = np.random.default_rng(SEED)
    network = build(rng)
    train(network, train_images, train_labels, rng)

    correct = int((network.forward(test_images).argmax(1) == test_labels).sum())
    count = sum(parameter.value.size for parameter in network.parameters())
    print(f"held-out accuracy {correct}/{len(test_labels)} = {correct / len(test_labels):.4f}")
    print(f"{count} parameters, {network.macs()} multiply-accumulates an image")

    onnx.save(export(network), FOLDER / "digits.onnx")
    channels_first = (0, 3, 1, 2)
    chosen = rng.choice(len(train_images), CALIBRATION_IMAGES, replace=False)
    np.savez_compressed(
        FOLDER / "calibration.npz", image=train_images[chosen].transpose(channels_first)
    )
    np.savez_compressed(
        FOLDER / "test.npz",
        image=test_images.transpose(channels_first),
        label=test_labels.astype(np.int64),
    )


if __name__ == "__main__":
    main()

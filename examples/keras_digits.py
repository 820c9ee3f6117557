"""Three Dense layers on small digits, with fanin's initializers in the place of Keras's.

Only the import of `initializers` differs from a script for Keras. The model is built twice in one
process and has the same bits, which counted layer names and a global seed cannot promise. Run
``KERAS_BACKEND=torch python examples/keras_digits.py``; it needs keras, a backend and scikit-learn.
"""

from __future__ import annotations

import keras
import numpy as np
from sklearn.datasets import load_digits

from fanin import keras as initializers


def build() -> keras.Model:
    """The network, compiled."""
    model = keras.Sequential([
        keras.Input((64,)),
        keras.layers.Dense(64, activation="relu", kernel_initializer=initializers.he_normal()),
        keras.layers.Dense(32, activation="relu",
                           kernel_initializer=initializers.RandomUniform(-0.1, 0.1)),
        keras.layers.Dense(10, kernel_initializer=initializers.Orthogonal()),
    ])  # fmt: skip
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def main() -> None:
    """Train, and show that the start is a function of the model and the seed."""
    model, again = build(), build()
    report = initializers.init_(model, seed=0)
    initializers.init_(again, seed=0)
    print(report)
    equal = all(
        np.array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))
        for a, b in zip(model.weights, again.weights, strict=True)
    )
    print("built twice, the same bits:", equal)

    digits = load_digits()
    pixels = digits.data.astype("float32") / 16
    history = model.fit(pixels, digits.target, epochs=5, batch_size=32, verbose=0).history
    print("accuracy after 5 epochs:", round(history["accuracy"][-1], 3))


if __name__ == "__main__":
    main()

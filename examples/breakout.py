"""Let a served network play a whole game of Breakout: `python examples/breakout.py breakout.mp4`.

The server: `python -m serving.server --model_name=dqn --model_base_path=exports/dqn`.
"""

import sys

import av
import numpy as np
from ale_py.vector_env import AtariVectorEnv

from serving.client import Client, ServingError

file, target = [*sys.argv[1:], "breakout.mp4", "localhost:8500"][:2]
game = AtariVectorEnv("breakout", 1, use_fire_reset=False, reward_clipping=False)
seen, _ = game.reset(seed=0)
chance, score, over = np.random.default_rng(0), 0.0, False

try:
    with Client(target) as client, av.open(file, "w") as film:
        stream = film.add_stream("libx264", rate=15, width=336, height=336, pix_fmt="yuv420p")
        while not over:
            states = {"observations": seen.transpose(0, 2, 3, 1)}
            action = client.predict("dqn", states, signature="act")["action"]
            action = action if chance.random() > 0.05 else chance.integers(0, 4, 1)
            seen, rewards, ended, cut, _ = game.step(action)
            score, over = score + rewards[0], bool(ended[0] or cut[0])
            picture = np.kron(seen[0, -1], np.ones((4, 4), np.uint8))
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray")))
        film.mux(stream.encode())
except ServingError as error:
    sys.exit(f"{error}")

print(f"{score:.0f} points: {file}")

"""Games: Gymnasium's environments, MinAtar's, and Atari's by ale-py, several copies at once.

A copy plays one game after another, each begun by a seed of its own, so that a game is decided by
its seed and the actions, and can be played again from them. Nothing begins by itself: who plays
sees the last observation of a game, and whether it ended there or was only cut off.
"""

import contextlib
import dataclasses
import difflib
import io
import logging
import os
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

ATARI, MINATAR = "ALE/", "MinAtar/"
EVAL_FRAMES = 18_000  # five minutes of an Atari game, as the paper evaluates it
TRAIN_FRAMES = 108_000  # half an hour, ale-py's limit
STACK = 4  # of Atari's frames in a state
RATE = 15.0  # agent steps in a second: of Atari's 60 frames each fourth


@dataclasses.dataclass(frozen=True)
class Moment:
    """What all copies show after an action each.

    Attributes:
        frames: The newest frame of each, [N, ...].
        rewards: float32 [N], as the game gives them.
        terminated: bool [N]: the game has ended.
        truncated: bool [N]: it was cut off; what would have come has its worth.
        lives: int [N]; 0 where a game has none to lose.
    """

    frames: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    lives: np.ndarray


class Game(Protocol):
    """Some copies of an environment.

    Attributes:
        count: N copies.
        stack: Frames in a state, which are its last dimension where they are several.
        frame: Shape of one.
        kind: NumPy's number format of one.
        actions: Their names.
        rate: Agent steps in a second, as a person plays.
    """

    count: int
    stack: int
    frame: tuple[int, ...]
    kind: type
    actions: tuple[str, ...]
    rate: float

    def begin(self, places: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """New games in those copies: the first state as frames, oldest first, [n, stack, ...]."""

    def step(self, actions: np.ndarray) -> Moment:
        """One action in every copy; what one shows that has not begun anew says nothing."""

    def picture(self) -> np.ndarray:
        """What the first copy looks like, uint8 [H, W, 3]."""


def make(name: str, count: int, *, frames: int = TRAIN_FRAMES, seen: bool = False) -> Game:
    """Copies of the environment of that name.

    Args:
        frames: After how many an Atari game is cut off; others have limits of their own.
        seen: Whether pictures of the first copy will be asked for.

    Raises:
        ValueError: there is no such environment, or it has no choice of a few actions.
    """
    if name.startswith(ATARI):
        return Emulators(name, count, frames=frames, seen=seen)
    if name.startswith(MINATAR):
        return Copies([_minatar(name) for _ in range(count)], name)
    import gymnasium

    known = [n for n in gymnasium.registry if not n.startswith(("phys2d", "tabular", "Gym"))]
    if name not in known:
        raise ValueError(_unknown(name, known))
    if seen:
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame looks for no screen then
    modes = [("rgb_array" if seen and i == 0 else None) for i in range(count)]
    try:
        return Copies([gymnasium.make(name, render_mode=mode) for mode in modes], name)
    except gymnasium.error.Error as error:
        raise ValueError(f"The environment {name} cannot be made: {error}") from None


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    return (
        f"There is no environment {name!r}.{hint} Allowed are Gymnasium's, such as CartPole-v1, "
        "MinAtar/Breakout-v1 and ALE/Breakout-v5."
    )


class Copies:
    """Gymnasium's environments, one after another; a game is decided by its seed."""

    stack = 1

    def __init__(self, copies: list[Any], name: str) -> None:
        import gymnasium

        space, shown = copies[0].action_space, copies[0].observation_space
        if not isinstance(space, gymnasium.spaces.Discrete) or space.start != 0:
            raise ValueError(
                f"{name} has the actions {space}; a Q-network needs a few to choose from, counted "
                "from 0."
            )
        if not isinstance(shown, gymnasium.spaces.Box) or len(shown.shape) not in (1, 3):
            raise ValueError(f"{name} shows {shown}; a Q-network sees numbers or pixels.")
        self.copies, self.count = copies, len(copies)
        self.over: np.ndarray = np.zeros(len(copies), bool)
        self.frame = shown.shape
        self.kind: type = np.uint8 if len(shown.shape) == 3 else np.float32
        self.actions = tuple(f"action {i}" for i in range(int(space.n)))
        self.rate = float(copies[0].metadata.get("render_fps", RATE))

    def begin(self, places: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        begun = [
            self.copies[place].reset(seed=int(seed))[0]
            for place, seed in zip(places, seeds, strict=True)
        ]
        self.over[places] = False
        return np.asarray(begun, self.kind)[:, None]

    def step(self, actions: np.ndarray) -> Moment:
        if self.over.any():  # such an environment must not be stepped: it waits in its first state
            self.begin(np.flatnonzero(self.over), np.zeros(int(self.over.sum()), np.int64))
        steps = [copy.step(a) for copy, a in zip(self.copies, actions.tolist(), strict=True)]
        frames, rewards, ends, cuts, _ = zip(*steps, strict=True)
        terminated = np.asarray(ends, bool)
        self.over = terminated | np.asarray(cuts, bool)
        return Moment(
            frames=np.asarray(frames, self.kind),
            rewards=np.asarray(rewards, np.float32),
            terminated=terminated,
            truncated=np.asarray(cuts, bool) & ~terminated,
            lives=np.zeros(self.count, np.int32),
        )

    def picture(self) -> np.ndarray:
        return np.asarray(self.copies[0].render(), np.uint8)


class _MinAtar:
    """A MinAtar game as Gymnasium's environments are: its own wrapper forgets no sticky action.

    Args:
        allowed: Which of the six actions there are.
    """

    metadata: ClassVar[dict[str, Any]] = {}

    def __init__(self, game: Any, allowed: Sequence[int]) -> None:
        from gymnasium import spaces

        self.game, self.allowed = game, allowed
        self.action_space = spaces.Discrete(len(self.allowed))
        self.observation_space = spaces.Box(0, 1, game.state_shape(), np.uint8)

    def reset(self, *, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
        self.game.seed(seed)
        self.game.reset()
        self.game.last_action = 0
        return self.game.state(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward, done = self.game.act(self.allowed[action])
        return self.game.state(), reward, done, False, {}

    def render(self) -> np.ndarray:
        """Each channel a brightness."""
        state = self.game.state()
        bright = (state * np.arange(1, state.shape[-1] + 1)).max(-1) * (255 // state.shape[-1])
        return np.repeat(np.kron(bright, np.ones((16, 16)))[..., None], 3, axis=-1)


def _minatar(name: str) -> _MinAtar:
    """Version 0 has all six actions in each game, as Young and Tian played; 1 those that do any."""
    games = ("asterix", "breakout", "freeway", "seaquest", "space_invaders")
    titles = {game: f"{MINATAR}{game.title().replace('_', '')}" for game in games}
    known = {f"{titles[game]}-v{version}": game for game in games for version in (0, 1)}
    if name not in known:
        raise ValueError(_unknown(name, list(known)))
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # of seaborn, with which it would draw
    try:
        from minatar import Environment

        game = Environment(known[name])
        return _MinAtar(game, game.minimal_action_set() if name.endswith("1") else range(6))
    except ImportError:
        raise ValueError(
            f"{name} needs the package minatar; `pip install --no-deps -r requirements.lock` "
            "installs it."
        ) from None
    finally:
        logging.disable(level)


class Emulators:
    """Atari games as the paper plays them (Methods, "Preprocessing" and "Training details").

    Each action is repeated for four frames; a frame is the brighter of the last two, grey, 84 x 84;
    a game begins after up to 30 frames without an action. Unlike in ale-py's own defaults, no
    fire button is pressed for the player, and no action is stuck.
    """

    stack = STACK
    kind: type = np.uint8
    frame: tuple[int, ...] = (84, 84)
    rate = RATE

    def __init__(self, name: str, count: int, *, frames: int, seen: bool) -> None:
        with contextlib.redirect_stderr(io.StringIO()):
            from ale_py import roms
            from ale_py.vector_env import AtariVectorEnv

        title = name.removeprefix(ATARI).removesuffix("-v5")
        known = {"".join(n.title().split("_")): n for n in roms.get_all_rom_ids()}
        if title not in known:
            raise ValueError(_unknown(name, [f"{ATARI}{t}-v5" for t in known]))
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # where it looks for them
                roms.get_rom_path(known[title])
        except OSError as error:
            raise ValueError(
                f"The ROM of {name} cannot be read; ale-py brings it, unless ALE_ROMS_DIR names "
                f"another folder: {' '.join(str(error).split())}"
            ) from None
        options: dict[str, Any] = {
            "max_num_frames_per_episode": frames,
            "use_fire_reset": False,
            "reward_clipping": False,
        }
        self.copies = AtariVectorEnv(known[title], count, num_threads=min(count, 8), **options)
        coloured: dict[str, Any] = {
            "grayscale": False,
            "img_height": 210,
            "img_width": 160,
            "stack_num": 1,
        }
        self.screen = AtariVectorEnv(known[title], 1, **options, **coloured) if seen else None
        self.colours = np.zeros((210, 160, 3), np.uint8)
        self.count = count
        self.actions = tuple(a.name.lower() for a in self.copies.ale.get_action_set())
        self.shown = np.zeros((count, STACK, 84, 84), np.uint8)

    def begin(self, places: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        chosen = np.zeros(self.count, bool)
        chosen[places] = True
        order = np.argsort(places)
        if self.screen is not None and chosen[0]:  # the first copy's game, played once more
            self.colours = self.screen.reset(seed=seeds[order][:1])[0][0, 0]
        if chosen.all():
            self.shown, _ = self.copies.reset(seed=seeds[order])
        else:
            options = {"reset_mask": chosen}
            self.shown, _ = self.copies.reset(seed=seeds[order], options=options)
        first: np.ndarray = self.shown[places]
        return first

    def step(self, actions: np.ndarray) -> Moment:
        self.shown, rewards, terminated, truncated, info = self.copies.step(actions)
        if self.screen is not None:
            self.colours = self.screen.step(actions[:1])[0][0, 0]
        return Moment(
            frames=self.shown[:, -1],
            rewards=rewards.astype(np.float32),
            terminated=terminated,
            truncated=truncated & ~terminated,
            lives=info["lives"],
        )

    def picture(self) -> np.ndarray:
        return self.colours

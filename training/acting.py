"""How a run acts that learns from what it does: frozen values, without TensorFlow."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Acting:
    """How an agent plays, what it keeps of that, and how it learns from it.

    An agent step is one action in one environment, four frames of an Atari game. The run's own
    steps are updates: a round is `act_steps` agent steps, then `updates` updates.

    Attributes:
        environment: Such as CartPole-v1, MinAtar/Breakout-v1 or ALE/Breakout-v5.
        environments: Copies that are played at once.
        act_steps: Agent steps in a round, over all environments.
        updates: Updates in a round.
        start: Agent steps by random actions before the first update.
        capacity: Frames that the replay holds, over all environments.
        epsilon: Share of random actions at first.
        final_epsilon: And from `epsilon_steps` on.
        epsilon_steps: Agent steps over which it falls, on a line, beginning at `start`.
        target_every: Updates between copies of the network to the target.
        discount: Worth of a reward a step later, over that of one now.
        double: Whether the network chooses the action that the target values (van Hasselt, Guez
            and Silver 2016), or the target does both.
        priority: Exponent alpha of the size of a step's last temporal difference, by which it is
            drawn again (Schaul et al. 2016; there 0.6); 0 draws all alike.
        importance: Exponent beta of the weights that make up for that, at first.
        importance_updates: Updates over which it rises to 1, on a line.
        clip_rewards: Whether rewards are learnt from as -1, 0 or 1.
        eval_episodes: Whole games in an evaluation.
        eval_epsilon: Share of random actions there.
    """

    environment: str
    environments: int = 1
    act_steps: int = 4
    updates: int = 1
    start: int = 50_000
    capacity: int = 1_000_000
    epsilon: float = 1.0
    final_epsilon: float = 0.1
    epsilon_steps: int = 1_000_000
    target_every: int = 10_000
    discount: float = 0.99
    double: bool = False
    priority: float = 0.0
    importance: float = 0.4
    importance_updates: int = 1_000_000
    clip_rewards: bool = True
    eval_episodes: int = 30
    eval_epsilon: float = 0.05

    def __post_init__(self) -> None:
        counts = "environments act_steps updates start epsilon_steps target_every"
        more = ("eval_episodes", "importance_updates", "capacity")
        for name in (*counts.split(), *more):
            self._check(getattr(self, name) >= 1, name, "be at least 1")
        shares = "epsilon final_epsilon discount priority importance eval_epsilon"
        for name in shares.split():
            self._check(0 <= getattr(self, name) <= 1, name, "lie in [0, 1]")
        for name in ("act_steps", "start"):
            divides = getattr(self, name) % self.environments == 0
            self._check(divides, name, f"be a multiple of environments, {self.environments}")
        least = 16 * self.environments
        self._check(self.capacity >= least, "capacity", f"be at least {least}, 16 a copy")

    def _check(self, holds: bool, name: str, must: str) -> None:
        if not holds:
            raise ValueError(f"acting.{name} is {getattr(self, name)}; it must {must}.")

    def steps_at(self, update: int) -> int:
        """Agent steps that are taken when update number `update` (from 0) begins."""
        return self.start + update // self.updates * self.act_steps

    def importance_at(self, update: int) -> float:
        """Exponent of the importance weights in update number `update`, from 0."""
        done = min(update / self.importance_updates, 1.0)
        return self.importance + done * (1 - self.importance)

    def epsilon_at(self, step: int) -> float:
        """Share of random actions at an agent step."""
        done = min(max((step - self.start) / self.epsilon_steps, 0.0), 1.0)
        return self.epsilon + done * (self.final_epsilon - self.epsilon)

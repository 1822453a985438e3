"""Optimizers from the values of `training.optimization`: Keras's own where its rule is the paper's.

What Keras lacks or has otherwise is a rule of a few lines here. All run under every strategy: an
update gets the reduced gradient and moves the copy of the replica it is called for.
"""

from typing import Any

import keras
import tensorflow as tf

from training import optimization
from training.config import OptimizerChoice, ScheduleChoice
from training.schedules import Rate


def make(
    values: OptimizerChoice,
    schedule: ScheduleChoice,
    steps: int,
    model: keras.Model,
    *,
    updates: int = 1,
) -> keras.optimizers.Optimizer:
    """The optimizer of these values, built on the model's trainable variables.

    Make it inside the strategy's scope. Its attribute `rate` is the schedule, which learners tell
    the watched number of each evaluation.

    Args:
        steps: In the run.
        updates: Of these variables in one step.
    """
    rate = Rate(values.learning_rate, schedule, steps, updates=updates)
    optimizer = _rule(values, rate)
    if values.decay == "matrices":
        vectors = [v for v in model.trainable_variables if len(v.shape) < 2]
        optimizer.exclude_from_weight_decay(var_list=vectors)
    optimizer.build(model.trainable_variables)
    rate.keep(optimizer)
    optimizer.rate = rate
    return optimizer


def _rule(values: OptimizerChoice, rate: Rate) -> keras.optimizers.Optimizer:
    """The optimizer without its variables, its fields by their names in Keras and below."""
    shared = ("kind", "learning_rate", "weight_decay", "decay", "clip_norm")
    own = {name: value for name, value in vars(values).items() if name not in shared}
    named: dict[str, Any] = {"learning_rate": rate, "name": values.kind}
    decoupled = {**named, "weight_decay": values.weight_decay}
    coupled = {**named, "coupled_decay": values.weight_decay}
    match values:
        case optimization.AdamW():
            return Adam(**decoupled, **own, rearranged=True)
        case optimization.BertAdam():
            return Adam(**decoupled, **own, corrected=False)
        case optimization.Adafactor():
            return Adafactor(**decoupled, **own)
    rules = {
        optimization.SGD: SGD,
        optimization.Adagrad: Adagrad,
        optimization.Adadelta: Adadelta,
        optimization.RMSprop: RMSprop,
        optimization.Adam: Adam,
        optimization.LARS: LARS,
    }
    return rules[type(values)](**coupled, **own)


class Rule(keras.optimizers.Optimizer):
    """What the rules below share: slots, and weight decay in the gradient, g + λw.

    Subclasses give `rule(gradient, variable, rate, *slots)`. A variable that does not decay is
    excluded by Keras's `exclude_from_weight_decay`.
    """

    slots: tuple[str, ...] = ()
    initial: Any = "zeros"

    def __init__(self, *, coupled_decay: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.coupled_decay = coupled_decay

    def build(self, variables: list[keras.Variable]) -> None:
        """Makes the slots of every variable."""
        super().build(variables)
        self.kept = {self._var_key(v): self.slots_of(v) for v in variables}

    def slots_of(self, variable: keras.Variable) -> list[keras.Variable]:
        """New variables that remember something about this one."""
        made = self.add_variable_from_reference
        return [made(variable, name=name, initializer=self.initial) for name in self.slots]

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """One update of all variables."""
        self.prepare()
        super().apply(grads, trainable_variables)

    def prepare(self) -> None:
        """Computes what the variables of one update share."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One update of one variable, called by Keras with the gradient summed over replicas."""
        if self.coupled_decay and self._use_weight_decay(variable):
            gradient = gradient + self.coupled_decay * variable
        rate = tf.cast(learning_rate, variable.dtype)
        self.rule(gradient, variable, rate, *self.kept[self._var_key(variable)])


class Adadelta(Rule, keras.optimizers.Adadelta):
    """Zeiler 2012, algorithm 1, which Keras has as it stands."""

    rule = keras.optimizers.Adadelta.update_step


class RMSprop(Rule, keras.optimizers.RMSprop):
    """Epsilon inside the root, as Keras and DQN's published code have it."""

    rule = keras.optimizers.RMSprop.update_step


class SGD(Rule):
    """Momentum with the rate outside the velocity; Keras has it inside."""

    def __init__(
        self, *, momentum: float, nesterov: bool, bias_rate: float, **options: Any
    ) -> None:
        super().__init__(**options)
        self.momentum, self.nesterov, self.bias_rate = momentum, nesterov, bias_rate
        self.slots = ("velocity",) if momentum else ()

    def rule(self, gradient: Any, variable: Any, rate: Any, *slots: keras.Variable) -> None:
        """v = μv + g, w -= rate * v; Nesterov w -= rate * (g + μv)."""
        if len(variable.shape) < 2:
            rate = rate * self.bias_rate
        if not slots:
            self.assign_sub(variable, rate * gradient)
            return
        tf.raw_ops.ResourceApplyMomentum(
            var=_handle(variable),
            accum=_handle(slots[0]),
            lr=rate,
            grad=gradient,
            momentum=self.momentum,
            use_nesterov=self.nesterov,
        )


class Adagrad(Rule):
    """Epsilon outside the root and a sum from 0; Keras has it inside and starts at 0.1."""

    slots = ("accumulator",)

    def __init__(self, *, accumulator: float, epsilon: float, **options: Any) -> None:
        super().__init__(**options)
        self.initial, self.epsilon = keras.initializers.Constant(accumulator), epsilon

    def rule(self, gradient: Any, variable: Any, rate: Any, accumulator: keras.Variable) -> None:
        """s += g², w -= rate * g / (sqrt(s) + ε)."""
        total = accumulator + tf.square(gradient)
        self.assign(accumulator, total)
        self.assign_sub(variable, rate * gradient / (tf.sqrt(total) + self.epsilon))


class Adam(Rule):
    """Algorithm 1; its rearrangement at the end of section 2, as AdamW has it; or BERT's.

    They differ in what the rate and epsilon are multiplied with before TensorFlow's one operation,
    w -= rate * m / (sqrt(v) + ε), which reads and writes each number once.
    """

    slots = ("mean", "square")

    def __init__(
        self,
        *,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        corrected: bool = True,
        rearranged: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self.corrected, self.rearranged = corrected, rearranged

    def prepare(self) -> None:
        """What the rate and epsilon are multiplied with, in float64.

        The operation's mean and mean square are `off` times the rule's: by 1 - β^t before they are
        corrected; and because it takes 1 - β from β in float32, by 0.00001 for β = 0.999.
        """
        rounded = tf.constant([self.beta_1, self.beta_2], tf.float32)
        betas = tf.cast(rounded, tf.float64)
        if self.corrected:
            off = 1 - betas ** tf.cast(self.iterations + 1, tf.float64)
        else:
            off = (1 - betas) / (1 - tf.constant([self.beta_1, self.beta_2], tf.float64))
        mean, root = off[0], tf.sqrt(off[1])
        self.rate_factor = tf.cast(root / mean, tf.float32)
        self.scaled_epsilon = self.epsilon * tf.cast(1.0 if self.rearranged else root, tf.float32)
        self.constants = (*tf.unstack(rounded), tf.constant(0.0))

    def rule(
        self, gradient: Any, variable: Any, rate: Any, mean: keras.Variable, square: keras.Variable
    ) -> None:
        """w -= rate * m̂ / (sqrt(v̂) + ε), with both corrections in the rate and in ε."""
        beta_1, beta_2, corrected = self.constants
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(mean),
            v=_handle(square),
            beta1_power=corrected,
            beta2_power=corrected,
            lr=rate * self.rate_factor,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=self.scaled_epsilon,
            grad=gradient,
        )


class LARS(Rule):
    """You et al. 2017 as SimCLR runs it: trust from the decayed gradient, rate in the velocity."""

    slots = ("velocity",)

    def __init__(self, *, momentum: float, trust: float, **options: Any) -> None:
        super().__init__(**options)
        self.momentum, self.trust = momentum, trust

    def rule(self, gradient: Any, variable: Any, rate: Any, velocity: keras.Variable) -> None:
        """v = μv + rate * trust * |w| / |g| * g, w -= v; what does not decay has no trust ratio."""
        if self._use_weight_decay(variable):
            size, slope = tf.norm(variable), tf.norm(gradient)
            both = tf.logical_and(size > 0, slope > 0)
            rate = rate * tf.where(both, self.trust * size / slope, 1.0)
        step = self.momentum * velocity + rate * gradient
        self.assign(velocity, step)
        self.assign_sub(variable, step)


class Adafactor(Rule):
    """Shazeer and Stern 2018. Keras's keeps a mean square for every weight, which this avoids.

    Of a variable with more than two axes the last two are factored.
    """

    def __init__(
        self,
        *,
        exponent: float,
        epsilon_1: float,
        epsilon_2: float,
        threshold: float,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.exponent, self.threshold = exponent, threshold
        self.epsilon_1, self.epsilon_2 = epsilon_1, epsilon_2

    def slots_of(self, variable: keras.Variable) -> list[keras.Variable]:
        """Means over rows and columns of a matrix; the whole mean square of a vector."""
        *outer, last = variable.shape or (None,)
        if not outer:
            return [self.add_variable_from_reference(variable, name="square")]
        name = variable.path.replace("/", "_")
        return [
            self.add_variable(tuple(outer), name=f"{name}_rows"),
            self.add_variable((*outer[:-1], last), name=f"{name}_columns"),
        ]

    def rule(self, gradient: Any, variable: Any, rate: Any, *slots: keras.Variable) -> None:
        """w -= max(ε₂, RMS(w)) * min(rate, 1 / sqrt(t)) * u / max(1, RMS(u) / threshold)."""
        number = tf.cast(self.iterations + 1, variable.dtype)
        beta = 1 - number**-self.exponent
        square = tf.square(gradient) + self.epsilon_1
        if len(slots) == 1:
            mean = self._mixed(slots[0], square, beta)
        else:
            rows = self._mixed(slots[0], tf.reduce_mean(square, -1), beta)
            columns = self._mixed(slots[1], tf.reduce_mean(square, -2), beta)
            rows = rows / tf.reduce_mean(rows, -1, keepdims=True)
            mean = rows[..., None] * columns[..., None, :]
        step = gradient / tf.sqrt(mean)
        step = step / tf.maximum(1.0, _rms(step) / self.threshold)
        relative = tf.minimum(rate, number**-0.5)
        self.assign_sub(variable, tf.maximum(self.epsilon_2, _rms(variable)) * relative * step)

    def _mixed(self, slot: keras.Variable, new: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
        mixed = beta * slot + (1 - beta) * new
        self.assign(slot, mixed)
        return mixed


def _handle(variable: Any) -> Any:
    """What operations on the copy of this replica take."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


def _rms(x: tf.Tensor) -> tf.Tensor:
    return tf.sqrt(tf.reduce_mean(tf.square(x)))

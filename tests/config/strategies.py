"""Hypothesis strategies for configs."""

from typing import Any, get_args

from hypothesis import strategies as st

from dnn_cli.config import schema
from tests.config.helpers import OPTIMIZERS

rates = st.floats(1e-30, 1000)


shares = st.floats(0, 1, exclude_max=True)


steps = st.integers(1, 10**9)


def mappings(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for mappings with any of the keys; required keys are always present."""
    required = {"name", "monitor", "units", "initial_learning_rate", "decay_steps", "decay_rate", "warmup_target"}
    fixed = {key: value for key, value in strategies.items() if key in required}
    optional = {key: value for key, value in strategies.items() if key not in required}
    return st.fixed_dictionaries(fixed, optional=optional)


schedules = st.one_of(
    *(
        mappings(name=st.just(name), initial_learning_rate=rates, decay_steps=steps, decay_rate=rates)
        for name in ("exponential_decay", "inverse_time_decay")
    ),
    mappings(
        name=st.just("polynomial_decay"),
        initial_learning_rate=rates,
        decay_steps=steps,
        power=rates,
        end_learning_rate=rates,
        cycle=st.booleans(),
    ),
    mappings(name=st.just("cosine_decay"), initial_learning_rate=rates, decay_steps=steps, alpha=shares),
    st.fixed_dictionaries(
        {
            "name": st.just("piecewise_constant_decay"),
            "boundary_epochs": st.just([1, 2.5]),
            "values": st.lists(rates, min_size=3, max_size=3),
        }
    ),
    st.fixed_dictionaries(
        {"name": st.just("linear_warmup"), "warmup_target": rates, "warmup_epochs": st.floats(0.1, 9)}
    ),
    st.fixed_dictionaries(
        {
            "name": st.just("cosine_decay"),
            "initial_learning_rate": rates,
            "decay_steps": steps,
            "warmup_target": rates,
            "warmup_steps": steps,
        }
    ),
)


learning_rates = st.one_of(rates, schedules)


optimizers = st.one_of(
    st.sampled_from(OPTIMIZERS.split(", ")),
    mappings(name=st.just("sgd"), learning_rate=learning_rates, momentum=shares, nesterov=st.booleans()),
    mappings(name=st.just("rmsprop"), learning_rate=learning_rates, rho=shares, centered=st.booleans()),
    mappings(name=st.just("adagrad"), learning_rate=learning_rates, initial_accumulator_value=rates),
    mappings(name=st.just("adam"), learning_rate=learning_rates, beta_2=shares, epsilon=st.floats(1e-300, 1)),
    mappings(name=st.just("adamw"), learning_rate=learning_rates, weight_decay=rates, amsgrad=st.booleans()),
    mappings(name=st.just("nadam"), learning_rate=learning_rates, beta_1=shares),
    mappings(name=st.just("muon"), exclude_layers=st.lists(st.sampled_from(["output", "dense_1"])), rms_rate=st.none()),
    st.builds(
        lambda name, options: {"name": name, **options},
        st.sampled_from(OPTIMIZERS.split(", ")),
        mappings(
            weight_decay=rates,
            clipvalue=st.none() | rates,
            use_ema=st.just(True),
            ema_momentum=shares,
            gradient_accumulation_steps=st.none() | st.integers(2, 9),
        ),
    ),
)


blocks = st.one_of(
    st.integers(1, 16_384),
    mappings(
        units=st.integers(1, 16_384),
        activation=st.sampled_from(get_args(schema.Activation)),
        initializer=st.sampled_from(get_args(schema.Initializer)),
        use_bias=st.booleans(),
        batch_normalization=st.booleans() | st.none() | mappings(momentum=shares, epsilon=st.floats(1e-9, 1)),
        max_norm=st.none() | rates,
        dropout=shares,
        l1=rates,
        l2=rates,
    ),
)


configs = mappings(
    seed=st.integers(0, 2**32 - 1),
    data=mappings(
        dataset=st.text(min_size=1),
        validation=st.integers(0, 10**6) | st.floats(0, 1, exclude_min=True, exclude_max=True),
        test=st.integers(0, 10**6) | st.floats(0, 1, exclude_min=True, exclude_max=True),
        fallback=st.none() | st.just("mnist-sample"),
        class_names=st.none()
        | st.lists(st.text(min_size=1), min_size=1, max_size=9, unique=True)
        | st.dictionaries(st.integers(0, 999).map(str) | st.text("abc", min_size=1), st.text(min_size=1)),
        image_size=st.none() | st.lists(st.integers(1, 1024), min_size=2, max_size=2),
        color=st.sampled_from(["grey", "rgb", None]),
        value_range=st.none() | st.just([0, 255]),
        keys=st.none() | st.just({"x_train": "pixels"}),
    ),
    model=mappings(layers=st.lists(blocks, max_size=4), input_dropout=shares),
    optimizer=optimizers,
    training=mappings(
        epochs=st.integers(1, 100_000),
        batch_size=st.integers(1, 65_536),
        jit_compile=st.booleans(),
        threads=st.just("auto") | st.integers(1, 1024),
        tensorboard=st.booleans(),
        label_smoothing=shares,
        early_stopping=st.none()
        | mappings(monitor=st.sampled_from(["loss", "accuracy"]), patience=st.integers(1, 99), min_delta=rates),
    ),
)

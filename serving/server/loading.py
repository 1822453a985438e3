"""From flags to how a version is loaded: session options, batching, warmup."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from tensorflow.core.protobuf.config_pb2 import ConfigProto

from serving.server import batching_parameters, saved_model, warmup
from serving.server.batching import Batching, Scheduler
from serving.server.errors import Code, ServingError
from serving.server.flags import ServerConfig
from serving.server.metrics import Metrics
from serving.server.model_config import read_text_message
from serving.server.saved_model import LoadedModel

log = logging.getLogger("serving.server")


def make_loader(
    config: ServerConfig, metrics: Metrics | None = None
) -> Callable[[str, Path], LoadedModel]:
    """Loads and warms up the version in a folder; its model's name is for the log.

    Raises:
        ServingError: INVALID_ARGUMENT or NOT_FOUND for a file of parameters that cannot be used.
    """
    session, batching_of = session_config(config), _batching(config, metrics)

    def load(name: str, path: Path) -> LoadedModel:
        model = saved_model.load(
            path,
            tags=config.saved_model_tags,
            session_config=session,
            batching=batching_of(path),
        )
        if config.enable_model_warmup:
            iterations = max(1, config.num_request_iterations_for_warmup)
            try:
                count = _warm_up(model, path, iterations, metrics)
            except BaseException:
                model.close()
                raise
            if count:
                log.info("%s: %d warmup requests replayed", name, count)
        return model

    return load


def _warm_up(model: LoadedModel, path: Path, iterations: int, metrics: Metrics | None) -> int:
    """How many records were replayed; the time that took is counted where there were any."""
    started, code, count = time.perf_counter(), Code.INTERNAL, 0
    try:
        count = warmup.replay(model, path, iterations=iterations)
        code = Code.OK
    except ServingError as error:
        code = error.code
        raise
    finally:
        if metrics and (count or code != Code.OK):
            metrics.warmup(str(path), code, time.perf_counter() - started)
    return count


def _batching(config: ServerConfig, metrics: Metrics | None) -> Callable[[Path], Batching | None]:
    """How the requests of the version in a folder are put together, where they are."""
    if not config.enable_batching:
        return lambda path: None
    common = batching_parameters.read(config.batching_parameters_file)
    scheduler = Scheduler(common.num_batch_threads, on_batch=metrics.batch if metrics else None)

    def of_version(path: Path) -> Batching:
        own = path / batching_parameters.OF_VERSION
        has_own = config.enable_per_model_batching_parameters and own.is_file()
        parameters = batching_parameters.read(own) if has_own else common
        return Batching(scheduler=scheduler, parameters=parameters)

    return of_version


def session_config(config: ServerConfig) -> ConfigProto:
    """The session's options: those of the file, and the threads that flags ask for."""
    session = ConfigProto()
    if config.tensorflow_session_config_file is not None:
        read_text_message(config.tensorflow_session_config_file, session)
    both = config.tensorflow_session_parallelism
    if intra := config.tensorflow_intra_op_parallelism or both:
        session.intra_op_parallelism_threads = intra
    if inter := config.tensorflow_inter_op_parallelism or both:
        session.inter_op_parallelism_threads = inter
    return session

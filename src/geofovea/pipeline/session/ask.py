"""``geofovea.ask`` and ``geofovea.measure``: one call from a path and a question to an answer."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Unpack

from geofovea.errors import ModelError
from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.answers.measurement import Measurement
from geofovea.pipeline.focus.stopping import StopAt
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.hosts.endpoint.settings import ENDPOINT_PREFIX, EndpointSettings
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.hosts.load_options import Loading
from geofovea.pipeline.relations.superlatives import Measurable
from geofovea.pipeline.session.model_choice import AUTO, chosen_model
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.configuration import read_configuration
from geofovea.pipeline.system.torch_threads import set_threads
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.strategies import (
    DEFAULT_DESCENT,
    DEFAULT_GEOMETRY,
    DEFAULT_REDUCTION,
)
from geofovea.tiling.geo.region import Region
from geofovea.tiling.opening import Picture, open_scene
from geofovea.tiling.pyramid import Box
from geofovea.tiling.scene import Scene

__all__ = ["ask", "host_of", "measure"]


def ask(
    scene: Scene | Picture,
    question: str,
    *,
    model: str | Host = AUTO,
    budget: Budget | None = None,
    tiles: int | None = None,
    tokens: int | None = None,
    focus: str | None = None,
    reduction: str = DEFAULT_REDUCTION,
    descent: str = DEFAULT_DESCENT,
    route: str = "auto",
    stop: StopAt | None = None,
    bands: tuple[int, ...] | None = None,
    composite: str | None = None,
    band_map: Mapping[str, int] | None = None,
    boxes: Sequence[Box] = (),
    region: Region | None = None,
    choices: Sequence[str] = (),
    device: str = AUTO,
    dtype: str | None = None,
    device_map: str | None = None,
    quantization: str | None = None,
    positions: str | None = None,
    answer_tokens: int | None = None,
    threads: int | None = None,
    thinking: str | None = None,
    thought_tokens: int | None = None,
    compile_decode: bool = False,
    endpoint: EndpointSettings | str | None = None,
    focus_model: str | None = None,
    geometry: str = DEFAULT_GEOMETRY,
    skip: str | None = None,
    resampler: str | None = None,
    cache_tokens: bool | None = None,
    index: str | os.PathLike[str] | None = None,
) -> Answer:
    """Ask one question about a scene of any size.

    For many questions about one scene, a ``SceneSession`` keeps what they share.

    Args:
        scene: A scene, or a picture that can be opened as one (see ``open_scene``): the path of a
            GeoTIFF, PNG, JPEG or JPEG 2000, an open rasterio dataset, a numpy array, a PIL image or
            an xarray object.
        question: The question.
        model: A folder, a hub id, ``openai:NAME``, ``"embedded"`` or a loaded host. ``"auto"`` is
            the one of ``$GEOFOVEA_MODEL``; without it, synthetic scenes are answered by the
            embedded demo model, and others are refused with ways to a real one.
        budget: Limits on tiles, tokens, time and memory; the host's default if None.
        tiles: Most tiles to encode, in place of the budget's.
        tokens: Most vision tokens for the decoder, in place of the budget's.
        focus: ``attention`` (the descent), ``rfm`` (the same with a region focus module),
            ``similarity`` (a dual encoder), ``prompted`` (the model at an endpoint picks cells), or
            a baseline: ``overview``, ``uniform``, ``oracle``, ``full``. By default ``attention``,
            or ``prompted`` at an endpoint.
        reduction: Which tokens survive: a name such as ``top_score``, or one for each place, such
            as ``divprune+fastv:0.25``.
        descent: ``geometric``, ``geometric_chained``, ``all_to_best``, ``best_first``, or
            ``published``: the two passes of LRS-VQA, for its models.
        route: ``auto``, or how many places to look at closely: ``none``, ``one``, ``several``.
        stop: When to end a descent before its tiles are spent.
        bands: Bands to show, 1-based; None chooses from the scene.
        composite: A named composite instead, such as ``"false-color"`` or ``"ndvi"``.
        band_map: Which band plays which role in it, such as ``{"red": 3, "nir": 8}``.
        boxes: Where the evidence is, in scene pixels, for ``focus="oracle"``.
        region: The polygon that is asked about; see ``Region.from_crs``. Nothing outside of it is
            evidence.
        choices: Answers to choose from; all are scored, and the likeliest is the answer.
        device: Torch device of a named model; see ``load_host``, also for the options below.
        dtype: Type of its weights.
        device_map: How it is spread over devices.
        quantization: In how few bits its weights are loaded.
        positions: Which positions its vision tokens have.
        answer_tokens: Most tokens of an answer of a named model, 16 by default. An answer that is
            cut has a warning.
        threads: How many threads compute; by the size of the model and the cores if None.
        thinking: ``room`` lets a reasoning model think before it answers; ``off`` does not.
        thought_tokens: Most tokens of a thought.
        compile_decode: Whether the steps of answers are recorded as a CUDA graph.
        endpoint: Where ``openai:NAME`` is: an address or ``EndpointSettings``.
        focus_model: Folder or hub id of the dual encoder for ``focus="similarity"``.
        geometry: ``auto`` computes the answers to questions about where named places lie and how
            large they are; ``off`` leaves them to the model.
        skip: What vision tokens skip inside the decoder's layers, such as ``ima`` or ``dyvte``;
            ``NAME:START`` names the first layer.
        resampler: What makes few tokens of each tile, such as ``m3:4``, for models that carry
            trained weights of it.
        cache_tokens: Whether encoded tiles are kept on disk; see ``SceneSession``.
        index: Folder of an index that knows where to look; see ``SceneSession``.

    Returns:
        The answer with confidence, evidence, cost and warnings.

    Raises:
        NoModelError: If no model is named, and the scene is not synthetic.
        GeoFoveaError: Each of its kinds; see ``geofovea.errors``.

    Warns:
        DemoModelWarning: If the demo model guesses about a scene that is not synthetic.

    Examples:
        >>> answer = geofovea.ask("scene.tif", "What shape is the hall at the power plant?")
        >>> answer.text
        'l-shaped'
    """
    started = time.perf_counter()
    raster = scene if isinstance(scene, Scene) else open_scene(scene)
    open_seconds = time.perf_counter() - started
    host = host_of(
        model,
        raster,
        endpoint,
        device=device,
        dtype=dtype,
        device_map=device_map,
        quantization=quantization,
        positions=positions,
        answer_tokens=answer_tokens,
        threads=threads,
        thinking=thinking,
        thought_tokens=thought_tokens,
        compile_decode=compile_decode,
    )
    session = SceneSession(
        raster,
        host,
        bands,
        composite=composite,
        band_map=band_map,
        cache_tokens=cache_tokens,
        index=index,
        open_seconds=open_seconds,
    )
    return session.ask(
        question,
        budget=budget,
        tiles=tiles,
        tokens=tokens,
        focus=focus,
        reduction=reduction,
        descent=descent,
        route=route,
        stop=stop,
        boxes=boxes,
        region=region,
        choices=choices,
        focus_model=focus_model,
        geometry=geometry,
        skip=skip,
        resampler=resampler,
    )


def measure(
    scene: Picture,
    question: str | Measurable,
    *,
    model: str | Host = AUTO,
    budget: Budget | None = None,
    tiles: int | None = None,
    tokens: int | None = None,
    focus: str | None = None,
    descent: str = DEFAULT_DESCENT,
    focus_model: str | None = None,
    endpoint: EndpointSettings | str | None = None,
) -> Measurement:
    """Compute how named places lie to one another, how far, or how large they are.

    For many measurements of one scene, ``SceneSession.measure`` keeps what they share; its
    docstring explains the arguments that are not here.

    Args:
        scene: A scene, its path, or an xarray object.
        question: Such as ``distance from the pond to the school`` or ``the largest field``.
        model: As for ``geofovea.ask``, like the limits and ways of looking that follow.
        budget: Limits on tiles, tokens, time and memory.
        tiles: Most tiles to encode, in place of the budget's.
        tokens: Most vision tokens for the decoder, in place of the budget's.
        focus: What finds the places.
        descent: How it goes from coarse to fine.
        focus_model: Of the focus ``similarity``.
        endpoint: Where ``openai:NAME`` is.

    Returns:
        The answer as ``text`` and as ``sentence``, the numbers with their errors and units as
        ``quantities``, and the ``places`` that were found. What was not found has no number.

    Raises:
        QuestionError: If the question asks for no measure.
        GeoFoveaError: Each of its kinds; see ``geofovea.errors``.
    """
    started = time.perf_counter()
    raster = scene if isinstance(scene, Scene) else open_scene(scene)
    seconds = time.perf_counter() - started
    host = host_of(model, raster, endpoint)
    session = SceneSession(raster, host, open_seconds=seconds)
    return session.measure(
        question,
        budget=budget,
        tiles=tiles,
        tokens=tokens,
        focus=focus,
        descent=descent,
        focus_model=focus_model,
    )


def host_of(
    model: str | os.PathLike[str] | Host,
    scene: Scene,
    endpoint: EndpointSettings | str | None = None,
    **loading: Unpack[Loading],
) -> Host:
    """The model of a question: loaded by its name, or as it is.

    Args:
        model: A name, the path of a folder, or a loaded host.
        scene: What it is asked about; see ``chosen_model``.
        endpoint: Where ``openai:NAME`` is: an address or its settings.
        loading: How a model that is named is loaded; see ``load_host``. A loaded host takes
            ``threads`` alone.

    Raises:
        NoModelError: If no model is named, and the scene is not synthetic.
        ModelError: If it is neither, or cannot be loaded in this way.
        ConfigurationError: If a configuration file says what cannot be meant.
        MissingExtraError: If a package is missing for that.
    """
    if isinstance(model, os.PathLike):
        model = os.fspath(model)
    if isinstance(model, str):
        name = chosen_model(model, [scene])
        if name.startswith(ENDPOINT_PREFIX):
            endpoint = endpoint or read_configuration().get("endpoint")
        elif loading.get("device") == AUTO:
            loading["device"] = read_configuration().get("device") or AUTO
        if isinstance(endpoint, str):
            endpoint = EndpointSettings(endpoint)
        return load_host(name, endpoint=endpoint, **loading)
    if not isinstance(model, Host):
        raise ModelError(
            f"model={model!r:.60} is neither the name of a model nor a loaded one; give "
            "'embedded', a folder, a hub id, openai:NAME, or what geofovea.load_host returns"
        )
    if (threads := loading.get("threads")) is not None:
        set_threads(model, threads)
    return model

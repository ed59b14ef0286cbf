"""The keys and values of a scene's tiles: made once, kept small, read by every later question.

A tile is run through the decoder alone when a question first needs it. Later questions put stored
tiles together and run their own words only. Answers may differ from those of the stock decoder, in
which a tile also sees the tiles before it; the answer says that a memory was used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from geofovea._arguments import shown
from geofovea.errors import ModelError
from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.engine.calls import DirectCalls
from geofovea.pipeline.engine.memory_options import MemoryOptions
from geofovea.pipeline.engine.state_store import store_of_states
from geofovea.pipeline.engine.tile_tokens import TileTokens
from geofovea.pipeline.hosts.base import Host, SupportsTileMemory
from geofovea.pipeline.hosts.usage import MemoryUse
from geofovea.pipeline.inference.decoder.inputs import Prompt
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.inference.memory.behind import WordQueries
from geofovea.pipeline.inference.memory.ready import ReadyStates
from geofovea.pipeline.inference.memory.stored_prompts import StoredPrompts, StoredTile
from geofovea.regionfocus.cache_policies.base import CachePolicy
from geofovea.regionfocus.cache_policies.kv_spec import KvSpec
from geofovea.regionfocus.reductions.base import Reduction
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.machine.forks import ForkSafeLock
from geofovea.tiling.machine.lru import LruCache
from geofovea.tiling.pyramid import Tile

__all__ = ["MemoryCalls", "SceneMemory", "calls_of", "check_answers_from_memory"]

_TILES_AT_ONCE = 16


class SceneMemory:
    """Stored tiles of one scene for one host. Threads may share it."""

    def __init__(self, host: Host, tiles: TileTokens, options: MemoryOptions) -> None:
        """Start empty.

        Args:
            host: The model.
            tiles: Tokens of the scene's tiles.
            options: What it may take.

        Raises:
            ModelError: If the host's prompts cannot be put together out of stored tiles.
        """
        given: object = options
        if not isinstance(given, MemoryOptions):
            raise ModelError(f"memory is a geofovea.MemoryOptions, got {shown(given)}")
        prompts = host.stored_prompts if isinstance(host, SupportsTileMemory) else None
        if prompts is None:
            raise ModelError(
                f"{host.name} cannot answer from a scene memory: it takes a model in this process "
                "whose image stands before the question, with compact positions of one axis; "
                "leave out memory="
            )
        self.prompts: StoredPrompts = prompts
        self._tiles = tiles
        self._policy = options.spec.storing()
        self.reader = _reader(options.spec, prompts)
        self._store = store_of_states(tiles.store, prompts, self._policy)
        self._ready = ReadyStates(options.ready_bytes)
        self._limit_bytes, self._forgets = options.limit_bytes, False
        self._stored: LruCache[Tile, StoredTile] = LruCache(
            options.limit_bytes, lambda tile: tile.nbytes
        )
        self._lock = ForkSafeLock()

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        return self._stored.nbytes

    @property
    def ready_bytes(self) -> int:
        """Bytes that it holds restored beside them."""
        return self._ready.nbytes

    @property
    def tokens(self) -> int:
        """Vision tokens whose keys and values it holds."""
        return sum(len(tile.cells) for tile in self._stored)

    def of(
        self, tiles: Sequence[Tile], usage: QuestionUsage
    ) -> tuple[dict[Tile, StoredTile], list[StoredTile]]:
        """Stored tiles, and those of them that were made now.

        Args:
            tiles: That show something.
            usage: Of the question; takes the cost of tiles that have to be encoded again.
        """
        with self._lock:
            held = {tile: self._stored.get(tile) for tile in dict.fromkeys(tiles)}
            stored = {tile: one for tile, one in held.items() if one is not None}
            # those that are held together have room together, and are most of what is asked for
            if len(stored) == len(held):
                return stored, []
            stored |= self._kept([tile for tile in held if tile not in stored])
            missing = [tile for tile in held if tile not in stored]
            fresh: dict[Tile, StoredTile] = {}
            for start in range(0, len(missing), _TILES_AT_ONCE):
                fresh |= self._made(missing[start : start + _TILES_AT_ONCE], usage)
            at_once = sum(one.nbytes for one in (*stored.values(), *fresh.values()))
            self._forgets = self._forgets or at_once > self._limit_bytes
        return stored | fresh, list(fresh.values())

    def nbytes_of(self, tokens: TokenSet) -> float:
        """Bytes of the keys and values of some tokens, and of the words around their tiles.

        A tile whose tokens are there in part counts in part. A tile that is not held is made.
        """
        stored, _ = self.of(tokens.tiles, QuestionUsage())
        counts: list[int] = tokens.tile_index.bincount(minlength=len(tokens.tiles)).tolist()
        states = [stored[tile].states for tile in tokens.tiles]
        return sum(n * (one.nbytes / one.count) for n, one in zip(counts, states, strict=True))

    def check_scene_shows_something(self) -> None:
        """Refuse a scene of which nothing has been seen so far.

        Raises:
            SceneError: If no tile so far shows anything.
        """
        self._tiles.check_something_shows()

    def _kept(self, tiles: Sequence[Tile]) -> dict[Tile, StoredTile]:
        """Those of some tiles that are on disk."""
        if self._store is None:
            return {}
        read = {tile: self._store.get(tile) for tile in tiles}
        return {tile: self._held(tile, one) for tile, one in read.items() if one is not None}

    def _made(self, tiles: Sequence[Tile], usage: QuestionUsage) -> dict[Tile, StoredTile]:
        """Run some tiles, and keep what the decoder makes of them."""
        made: dict[Tile, StoredTile] = {}
        (entries,) = self._tiles.of_each([(tiles, usage)], usage.clock)
        # no error if these show nothing: others may be stored from an earlier run
        if not entries:
            return made
        tokens = self._tiles.tokens_of(tiles, entries)
        for tile, one in self.prompts.store(tokens, self._policy).items():
            if self._store is not None:
                self._store.put(tile, one)
            made[tile] = self._held(tile, one)
        return made

    def _held(self, tile: Tile, one: StoredTile) -> StoredTile:
        return self._stored.put(tile, replace(one, states=self._ready.behind(one.states)))

    @property
    def is_kept(self) -> bool:
        """Whether what it holds is kept on disk, too."""
        return self._store is not None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What went wrong with keeping keys and values, if anything did."""
        if self._store is not None:
            warning = self._store.warning
            return (warning,) if warning else ()
        if not self._forgets:
            return ()
        return (
            f"the scene memory has room for {self._limit_bytes / 1e6:.3g} MB, less than the tiles "
            "of one look take: those that it forgets are run again; give it more megabytes",
        )


def _reader(spec: KvSpec, prompts: StoredPrompts) -> CachePolicy | None:
    """What reads the memory for the words of a question."""
    heads = prompts.mode.heads
    if spec.reader != "compresskv" or heads is None:
        return spec.reading()
    # a calibrated model knows the heads that point at what is asked for
    depth = len(prompts.decoder.layers)
    by_layer = tuple(tuple(h for lay, h in heads if lay == number) for number in range(depth))
    return spec.reading(heads=by_layer)


class MemoryCalls(DirectCalls):
    """Calls of one question that are answered from a scene memory."""

    def __init__(self, tiles: TileTokens, memory: SceneMemory) -> None:
        """Keep what is called."""
        super().__init__(tiles.host, tiles)
        self._memory = memory
        self._usage = QuestionUsage()
        self._has_begun = False
        self._use = MemoryUse()
        self._queries: dict[str, WordQueries] = {}

    def tokens(self, tiles: Sequence[Tile], usage: QuestionUsage) -> TokenSet:
        """See ``EngineCalls``; what the memory gives is counted by the first usage."""
        # a part of a question that counts for itself comes later, and is over before the answer
        if not self._has_begun:
            self._usage, self._has_begun = usage, True
        return super().tokens(tiles, usage)

    def scores(
        self,
        question: str,
        looks: Sequence[TokenSet],
        *,
        again: bool,  # noqa: ARG002
    ) -> list[Tensor]:
        """See ``EngineCalls``."""
        if not looks:
            return []
        stored, known = self._stored(looks), len(self._queries)
        scores = self._memory.prompts.scores(question, looks, stored, self._queries)
        if runs := (len(looks[0]),) * (len(self._queries) - known):
            self._note(replace(self._use, looks_run=(*self._use.looks_run, *runs)))
        return scores

    def generate(self, prompt: Prompt) -> Generation:
        """See ``EngineCalls``.

        Raises:
            ModelError: If tokens are dropped or work is skipped inside the decoder, or tokens were
                merged before it.
        """
        tokens = prompt.tokens
        # tokens of several dates come from several scenes, and a window is no tile to be stored
        if prompt.is_off_grid or not isinstance(tokens, TokenSet) or not len(tokens):
            return super().generate(prompt)
        check_answers_from_memory(prompt.reduction, prompt.skip, prompt.decoder)
        self._check_unmerged(tokens)
        stored = self._stored([tokens])
        memory = self._memory
        generation, entries = memory.prompts.generate(prompt, stored, memory.reader)
        chosen = self._use.entries_chosen if memory.reader is None else entries
        # states were restored while it answered
        self._note(replace(self._use, entries_chosen=chosen, ready_bytes=memory.ready_bytes))
        return replace(generation, is_from_memory=True)

    def _stored(self, looks: Sequence[TokenSet]) -> dict[Tile, StoredTile]:
        stored, made = self._memory.of([t for tokens in looks for t in tokens.tiles], self._usage)
        use, memory = self._use, self._memory
        self._note(
            replace(
                use,
                tiles_stored=use.tiles_stored + len(made),
                tokens_stored=use.tokens_stored + sum(len(one.cells) for one in made),
                tiles_read=use.tiles_read + len(stored) - len(made),
                entries_read=use.entries_read + sum(len(tokens) for tokens in looks),
                nbytes=memory.nbytes,
                ready_bytes=memory.ready_bytes,
            )
        )
        self._usage.warn(self._memory.warnings)
        return stored

    def _note(self, use: MemoryUse) -> None:
        self._use = self._usage.memory = use

    def _check_unmerged(self, tokens: TokenSet) -> None:
        """Stored keys and values are those of tokens as they were encoded."""
        cells, entries = self._tiles.cells_of(tokens), self._usage.entries
        for number, tile in enumerate(tokens.tiles):
            rows: Any = (tokens.tile_index == number).nonzero()[:, 0]
            own = tokens.features[rows.to(tokens.features.device)]
            whole = entries[tile].features if tile in entries else None
            if whole is not None and not torch.equal(whole[cells[rows].to(whole.device)], own):
                raise _merged("this reduction")


def _merged(reduction: str) -> ModelError:
    return ModelError(
        f"a scene memory holds tiles as they were encoded, and {reduction} merges their tokens; "
        "leave out memory=, or choose a reduction that only drops, such as focus_spread"
    )


def check_answers_from_memory(
    reduction: object,
    skip: object,
    decoder: object,
    encoder: str = "",
    projected: Reduction | None = None,
) -> None:
    """Refuse what a memory has no use for; each is None or empty where nothing of it is asked for.

    Args:
        reduction: What drops tokens between layers.
        skip: What skips work inside them.
        decoder: What reads the tokens in place of the model's own decoder.
        encoder: The word of what drops tokens inside the encoder, as it was written.
        projected: What chooses among projected tokens; one that only drops is no trouble.

    Raises:
        ModelError: If one of them is given.
    """
    if projected is not None and getattr(projected, "merges", False):
        raise _merged(repr(projected.name))
    if encoder:
        raise ModelError(
            f"a scene memory holds tiles for every question, and {encoder!r} drops tokens of "
            "them inside the encoder; leave out memory=, or choose a reduction on projected "
            "tokens, such as focus_spread"
        )
    if reduction is not None:
        raise ModelError(
            "a scene memory holds what every layer makes of a tile, so that nothing is dropped "
            "between layers; leave out memory=, or what drops tokens there in reduction="
        )
    if skip is not None:
        raise ModelError(
            "a scene memory holds what every layer makes of a tile, so that no work is left to "
            "skip; leave out memory= or skip="
        )
    if decoder is not None:
        raise ModelError(
            "a scene memory holds what the model's own decoder makes of a tile, and a trained "
            "resampler has another; leave out memory= or resampler="
        )


def calls_of(tiles: TileTokens, memory: SceneMemory | None) -> DirectCalls:
    """How one question about a scene is asked: from a memory, if there is one."""
    return DirectCalls(tiles.host, tiles) if memory is None else MemoryCalls(tiles, memory)

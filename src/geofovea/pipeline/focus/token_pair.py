"""A dual encoder made of a model's own vision tokens, by a part that was trained beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from geofovea.datasets.synthetic.vocabulary import is_in_domain
from geofovea.pipeline.hosts.base import LINKS, unknown_words_text
from geofovea.pipeline.hosts.fingerprint import weights_hash
from geofovea.pipeline.hosts.learned.shared_space import SharedSpace
from geofovea.pipeline.hosts.lvlm import LvlmHost
from geofovea.pipeline.hosts.scene_positions import SCENE_POSITION_FILE, shown_alone
from geofovea.pipeline.inference.prompts.presence import singular_of
from geofovea.pipeline.system.model_lock import one_at_a_time
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.machine.lru import LruCache
from geofovea.tiling.pyramid import Pyramid
from geofovea.tiling.scene import Scene

__all__ = ["TokenPair", "token_pair_beside"]

_AROUND = "\"'\u2018\u2019\u201c\u201d\u00ab\u00bb()[].,:;!"
_KNOWN_BYTES = 8 * 2**20
# a pair is made for every question, and its space stays with the model; by a hash of what a vector
# was made of
_KNOWN: WeakKeyDictionary[SharedSpace, LruCache[bytes, Tensor]] = WeakKeyDictionary()


class TokenPair:
    """See ``DualEncoder``: the vision tokens of a tile, pooled, beside the words of a text."""

    def __init__(self, name: str, host: LvlmHost, space: SharedSpace) -> None:
        """Join a model and what was trained beside it.

        Args:
            name: How the user named it.
            host: The model.
            space: What its tokens and words enter.
        """
        self.name = name
        self.side = host.tile_size
        self.model_lock, self.threads = host.model_lock, host.threads
        self._host, self._space = host, space

    @cached_property
    def _scene_position(self) -> Tensor | None:
        # a question whose tiles are all known does not need it, and to list all weights takes time
        return dict(self._host.weights()).get(SCENE_POSITION_FILE)

    @property
    def scale(self) -> float:
        """See ``DualEncoder``."""
        return float(self._space.log_scale.exp())

    @cached_property
    def fingerprint(self) -> str:
        """See ``DualEncoder``: of the model's weights, and of those that were trained beside it."""
        own, further = (
            weights_hash(weights)
            for weights in (self._host.weights(), self._space.state_dict().items())
        )
        return hashlib.sha256(f"{own} {further}".encode()).hexdigest()

    @torch.inference_mode()
    def embed_pictures(self, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
        """See ``DualEncoder``."""
        # each tile as if it were a scene of its own: an index knows nothing of what is around it
        alone = Pyramid(self.side, self.side, self.side)
        sized = np.stack([self._sized(picture) for picture in pictures])
        return self._vectors_of(self._host.encode(sized, [alone.overview] * len(sized), alone))

    @one_at_a_time
    def _vectors_of(self, tokens: Tensor) -> Tensor:
        return self._space.of_tiles(tokens.float()).cpu()

    @torch.inference_mode()
    def embed_text(self, text: str) -> Tensor:
        """See ``DualEncoder``; zero for a text without a known word, which is like no picture."""
        # questions about one scene name the same places and things
        key = hashlib.sha256(b"text " + text.encode()).digest()
        vector = self._known.get(key)
        return self._known.put(key, self._embedded(text)) if vector is None else vector

    def _embedded(self, text: str) -> Tensor:
        known, _ = self._read(text)
        if all(word in LINKS for word in known):
            return torch.zeros(int(self._space.settings["dimension"]))
        vectors = self._host.question_embeds(" ".join(known))
        return self._vector_of(vectors.mean(0))

    def _read(self, text: str) -> tuple[list[str], list[str]]:
        """The words of a text that the model knows, and those that it does not.

        A name is looked up without quotation marks and in the singular where it is not known as it
        stands: names of sites are taught in the singular alone.
        """
        known, unknown = list[str](), list[str]()
        for word in self._host.words_of(text):
            bare = word.strip(_AROUND)
            forms = [form for form in (word, bare, singular_of(bare)) if form]
            read = [form for form in forms if not self._host.unknown_words(form)]
            (known if read else unknown).append(read[0] if read else word)
        return known, unknown

    @one_at_a_time
    def _vector_of(self, mean: Tensor) -> Tensor:
        return self._space.of_texts(mean.float()[None])[0].cpu()

    @torch.inference_mode()
    def probabilities(self, pictures: Sequence[TokenSet], pyramid: Pyramid, text: str) -> Tensor:
        """How likely a text is true of each of k pictures, float32 (k,), each judged by itself.

        Args:
            pictures: Tokens of tiles, as the model encoded them; every tile has some. A tile is one
                picture in each of the sets that hold tokens of it.
            pyramid: Of the scene.
            text: A phrase, such as ``car park``.
        """
        vector = self.embed_text(text)
        return self._compared(_joined(pictures), pyramid, vector)

    @one_at_a_time
    def _compared(self, pictures: Sequence[TokenSet], pyramid: Pyramid, vector: Tensor) -> Tensor:
        vectors = torch.cat([self._remembered(picture, pyramid) for picture in pictures])
        return self._space.logits(vectors, vector[None].to(vectors.device))[:, 0].sigmoid().cpu()

    def _remembered(self, tokens: TokenSet, pyramid: Pyramid) -> Tensor:
        """Vectors (k, dimension) of the k tiles of some tokens, computed for those that are new.

        Questions about one scene look at many of the same tiles. A vector is a function of the
        tokens of a tile and of their place, so it is known by these.
        """
        known = self._known
        keys = _tile_keys(tokens, pyramid)
        found = {key: vector for key in keys if (vector := known.get(key)) is not None}
        is_new = torch.tensor([key not in found for key in keys])
        if is_new.any():
            new_keys = [key for key in keys if key not in found]
            new = self._made(tokens.select(is_new[tokens.tile_index]), pyramid)
            for key, vector in zip(new_keys, new, strict=True):
                found[key] = known.put(key, vector.clone())
        return torch.stack([found[key] for key in keys])

    def _made(self, tokens: TokenSet, pyramid: Pyramid) -> list[Tensor]:
        """A vector (dimension,) of each tile of some tokens."""
        alone = shown_alone(tokens, pyramid, self._host.grid[0], self._scene_position)
        # those at the border of a scene have fewer tokens than others
        alike: dict[int, list[int]] = {}
        for number, tile in enumerate(alone):
            alike.setdefault(len(tile), []).append(number)
        vectors: dict[int, Tensor] = {}
        for numbers in alike.values():
            made = self._space.of_tiles(torch.stack([alone[number] for number in numbers]))
            vectors |= zip(numbers, made, strict=True)
        return [vectors[number] for number in range(len(alone))]

    @property
    def _known(self) -> LruCache[bytes, Tensor]:
        """Vectors that were computed for earlier questions."""
        return _KNOWN.setdefault(self._space, LruCache(_KNOWN_BYTES, lambda each: each.nbytes))

    def forget(self) -> None:
        """Compute all vectors anew from now on, as a measurement of costs needs it."""
        _KNOWN.pop(self._space, None)

    def doubts(self, text: str, scene: Scene | None = None) -> tuple[str, ...]:
        """See ``DualEncoder``."""
        doubts = []
        description = "" if scene is None else scene.description
        if not is_in_domain(self._host.capabilities.domain, description):
            doubts.append(
                f"the dual encoder {self.name!r} learned synthetic scenes alone: of other scenes, "
                "its ranking says nothing"
            )
        if unknown := self._read(text)[1]:
            doubts.append(unknown_words_text(f"the dual encoder {self.name!r}", unknown))
        return tuple(doubts)

    def _sized(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if picture.shape[:2] == (self.side, self.side):
            return picture
        size = (self.side, self.side)
        return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def _joined(pictures: Sequence[TokenSet]) -> Sequence[TokenSet]:
    """The same tiles in the same order, in one set where each stands once.

    A search looks a few tiles at a time, and to take them out of their scene costs about as much
    for one look as for all.
    """
    tiles = [tile for picture in pictures for tile in picture.tiles]
    if len(pictures) < 2 or len(set(tiles)) < len(tiles):
        return pictures
    return [TokenSet.concat(pictures)]


def _tile_keys(tokens: TokenSet, pyramid: Pyramid) -> list[bytes]:
    """For each tile a hash of its tokens and of where they are in the scene."""
    order = tokens.tile_index.argsort(stable=True)
    counts = tokens.tile_index.bincount(minlength=len(tokens.tiles)).tolist()
    features = tokens.features[order.to(tokens.features.device)].float().cpu()
    split = torch.split(features, counts), torch.split(tokens.boxes_scene[order], counts)
    scene = f"{pyramid.width} {pyramid.height} {pyramid.tile_size}".encode()
    keys = []
    for tile, *parts in zip(tokens.tiles, *split, strict=True):
        key = hashlib.sha256(b"%b %d" % (scene, tile.level))
        for part in parts:
            key.update(part.numpy().tobytes())
        keys.append(key.digest())
    return keys


def token_pair_beside(host: object, name: str) -> TokenPair | None:
    """The dual encoder that was trained beside a model; None where there is none.

    Args:
        host: A model that is loaded.
        name: How the user named it.

    Raises:
        ModelError: If it is damaged, or was trained beside other weights.
    """
    # no other host has parts
    if not isinstance(host, LvlmHost) or host.parts is None:
        return None
    space = host.parts.shared_space(host)
    return None if space is None else TokenPair(name, host, space)

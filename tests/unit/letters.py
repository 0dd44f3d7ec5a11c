"""A tiny extractor for the tests of stores, and what it should give."""

import multiprocessing
import os

import torch

from auxformer_lobes.features.base import ClipInput, Extractor
from auxformer_lobes.utils.errors import MediaError

CLIPS = {name: f"{name}.wav" for name in ["one", "two", "three", "four"]}


class Letters(Extractor):
    """A feature a letter of the clip's name; a name with "bad" is damaged."""

    modality = "audio"

    def __init__(self, factor=1.0, log=os.devnull):
        super().__init__(dim=2, factor=factor)
        self.log = log

    def read(self, clip, path):
        """Returns the codes of the letters, and trusts vowels."""
        with open(self.log, "a") as log:
            log.write(f"{clip}\n")
        if "bad" in clip:
            raise MediaError(f"{path}: damaged")
        codes = torch.tensor([float(ord(letter)) for letter in clip])
        vowels = torch.tensor([letter in "aeiou" for letter in clip])
        return ClipInput(codes[:, None].repeat(1, 2), vowels.byte())

    def encode(self, data):
        """Multiplies; is never called without data."""
        assert data
        return [x * self.settings["factor"] for x in data]


def fill(store, clips=CLIPS):
    """Adds clips as an extraction would."""
    for clip, path in clips.items():
        clip_input = store.features.read(clip, path)
        (features,) = store.features.encode([clip_input.data])
        store.add(clip, path, features, clip_input.frame_validity)
    store.merge()
    return store


def same(store, clips, factor=1.0):
    """Whether a store holds what it should, exactly."""
    return all(
        torch.equal(store[clip], Letters(factor)(clip, None)) for clip in clips
    )


def in_a_process(work, *arguments):
    """Starts work in a process of its own, which is returned."""
    fork = multiprocessing.get_context("fork")
    process = fork.Process(target=work, args=arguments)
    process.start()
    return process

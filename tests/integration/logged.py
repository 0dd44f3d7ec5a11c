"""HOG of faces that notes who reads what, for the tests of extraction."""

import os
import time

from auxformer_lobes.features.hog import HogFeatures


class LoggedHog(HogFeatures):
    """Writes the process and the clip to a file before it reads."""

    def __init__(self, log, pause=0.0):
        super().__init__(frames_per_second=10)
        self.log = log
        self.pause = pause

    def read(self, clip, path):
        """Reads a clip; with num_workers=0, in the main process."""
        with open(self.log, "a") as log:
            log.write(f"{os.getpid()} {clip}\n")
        time.sleep(self.pause)
        return super().read(clip, path)

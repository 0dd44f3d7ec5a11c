"""Installs auxformer-lobes, the AuxFormer plugin for SpeechBrain."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
INIT = (ROOT / "auxformer_lobes" / "__init__.py").read_text("utf-8")

setup(
    name="auxformer-lobes",
    version=re.search(r'^__version__ = "(.+)"$', INIT, re.M)[1],
    description="AuxFormer for SpeechBrain: audiovisual emotion recognition "
    "that keeps working when audio or video is missing",
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["auxformer_lobes*"]),
    package_data={
        "auxformer_lobes.reporting": ["*.j2"],
        "auxformer_lobes.sharing": ["*.md"],
        "auxformer_lobes.web": ["*.css", "*.j2", "*.js"],
    },
    python_requires=">=3.11",
    install_requires=[
        "speechbrain>=1.1",
        # torch and torchaudio go in pairs; 2.11 is the last torchaudio, and
        # a later torch does not import with it.
        "torch>=2.7.1,<2.12",
        "torchaudio>=2.7.1,<2.12",
        "transformers>=4.57",
        "hyperpyyaml",
        "ruamel.yaml",
        "safetensors",
        "huggingface_hub",
        "jinja2",
        "numpy",
        "av",
        "soundfile",
        # 5.x has no cascade classifier.
        "opencv-python-headless>=4.10,<5",
        "h5py",
        "pillow",
        "scikit-learn",
        # 1.15 takes `rng`.
        "scipy>=1.15",
        "matplotlib",
        "rich",
        "tqdm",
    ],
    entry_points={
        "console_scripts": ["auxformer = auxformer_lobes.cli.main:main"]
    },
    extras_require={
        # Free for research and other non-commercial use only.
        "opensmile": ["opensmile"],
        # `auxformer experiment --slurm`.
        "slurm": ["submitit"],
        # `auxformer web`.
        "web": ["gradio>=6"],
        # `auxformer export --onnx`.
        "onnx": ["onnx", "onnxscript", "onnxruntime"],
        # `make docs`.
        "docs": ["furo", "myst-parser", "sphinx", "sphinx-copybutton"],
        "test": [
            "audmetric",
            "confidence-intervals",
            "furo",
            "gradio>=6",
            "hypothesis",
            "import-linter",
            "myst-parser",
            "onnx",
            "onnxruntime",
            "onnxscript",
            "opensmile",
            "playwright",
            "pytest",
            "pytest-xdist",
            "ruff",
            "scikit-image",
            "sphinx",
            "sphinx-copybutton",
            "submitit",
            "torchmetrics",
            "yamllint",
        ],
    },
)

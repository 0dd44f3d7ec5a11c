"""Installs auxformer-lobes, the AuxFormer plugin for SpeechBrain."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="auxformer-lobes",
    version="0.1.0",
    description="AuxFormer for SpeechBrain: audiovisual emotion recognition "
    "that keeps working when sound or picture is missing",
    long_description=Path(__file__).with_name("README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["auxformer_lobes*"]),
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
        "numpy",
        "av",
        "soundfile",
        # 5.x has no cascade classifier.
        "opencv-python-headless>=4.10,<5",
        "h5py",
        "pillow",
        "scikit-learn",
        "scipy",
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
        "test": [
            "hypothesis",
            "import-linter",
            "opensmile",
            "pytest",
            "pytest-xdist",
            "ruff",
            "scikit-image",
            "yamllint",
        ],
    },
)

"""What model cards say of every model, and of encoders that are known."""

# Of encoders and features that the recipes name; others link to their card.
LICENCES = {
    "audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim": (
        "CC BY-NC-SA 4.0: non-commercial use only"
    ),
    "facebook/dinov2-base": "Apache-2.0",
    "facebook/hubert-large-ll60k": "Apache-2.0",
    "facebook/wav2vec2-large-robust": "Apache-2.0",
    "MCG-NJU/videomae-base-finetuned-kinetics": (
        "CC BY-NC 4.0: non-commercial use only"
    ),
    "microsoft/wavlm-large": "CC BY-SA 3.0",
    "openai/clip-vit-large-patch14": "not named; MIT for its code",
    "trpakov/vit-face-expression": "Apache-2.0",
}
LICENCES_OF_CLASSES = {
    "OpenSmileFeatures": "openSMILE: research and non-commercial use only",
    "VggFaceFeatures": (
        "VGG-Face: Creative Commons Attribution, non-commercial research"
    ),
}

TEXT = """\
# {name}

Recognises emotion in a video, from voice and face, and still works where one
of them is missing. It is an AuxFormer (Goncalves and Busso, ICASSP 2022),
trained with auxformer-lobes, a plugin of SpeechBrain.

It says: {outputs}.
{warning}
## Use

`pip install auxformer-lobes`, then:

```python
from auxformer_lobes.inference.audiovisual import AudioVisualEmotionRecognizer

recognizer = AudioVisualEmotionRecognizer.from_hparams(source="{name}")
print(recognizer.classify_file("clip.mp4"))  # or clip.wav, for sound alone
```

## What it is for, and its limits

It is for research on how emotion is expressed and perceived, and for
comparing methods.

- **Not for decisions about people**: not in hiring, at work, in education,
  policing, border control, insurance, medicine or therapy. In the European
  Union, the AI Act (Regulation 2024/1689, Article 5) prohibits systems that
  infer emotions at work and in education.
- It tells what raters of its corpus would see and hear in an expression. It
  does not tell what a person feels, and raters themselves often disagree.
{about}
- What its corpus does not have was not measured: other languages, ages,
  cultures, ways of speaking, cameras, microphones. Expect it to be worse there,
  and not equally so for all people.
- One face is followed, the largest one at the start. Faces that are turned
  away, covered or small, noise and several voices make it worse.

## Results

Test set: {test[clips]:,} clips, speakers: {test[speakers]}{unseen}.
Intervals are 95 %, over speakers{unit}.

{results}

*Combined* is the mean of the heads that have something to say, and what
the model answers.{floor}

{outputs_table}
## Training

{training}

## Features

{features}

## Licences

- Weights in this model: {licence}.
- Corpus: {corpus_licence}
{encoder_licences}
Who uses the model has to keep to all of them.

## Reference

L. Goncalves and C. Busso, "AuxFormer: Robust approach to audiovisual emotion
recognition", ICASSP 2022.
"""
SYNTHETIC = """
**Trained and tested on an invented corpus: drawn faces, computed voices and
simulated raters. It says nothing about real people: its figures only show that
the program runs.**
"""
FLOOR = """ *Linear model* is the floor: the
same features, averaged over each clip."""

"""`corrupt`: how a model does on noisy, blurred or dark clips."""

from auxformer_lobes.cli.options import add_num_workers, number_from
from auxformer_lobes.utils.text import printable

KINDS = ("noise", "babble", "blur", "occlusion", "dark")


def corrupt(parser):
    """Writes corrupted copies of media, and a manifest for other commands.

    kind        severity
    noise       white noise: speech to noise in dB, such as 20, 10, 5, 0, -5
    babble      up to six other speakers of the manifest: as for noise
    blur        factor by which the resolution is lowered: 2, 4, 8
    occlusion   % of the frames with a square over the lower face: 10, 30, 50
    dark        gain of the pixels: 0.5, 0.25, 0.1

    The ratio of speech to noise is that of their powers where there is speech
    (ITU-T P.56). Noise and babble change the wav file (16 kHz, 32-bit float,
    never clipped), the others the video (MP4, H.264); the other modality and
    the originals stay as they are. An interrupted command continues when it is
    run again.

    A clip whose file cannot be used is named, and left out of the manifest;
    the exit code is 1 if none is left.
    """
    parser.epilog = (
        "example: auxformer corrupt test.json --kind babble --severity 0 \\\n"
        "  --data_root /path/to/CREMA-D --output_folder babble_0"
    )
    add = parser.add_argument
    add("manifest", metavar="MANIFEST", help="JSON manifest of a recipe")
    add("--kind", required=True, choices=KINDS, help="see above")
    add(
        "--severity",
        required=True,
        type=float,
        metavar="S",
        help="see above",
    )
    add(
        "--output_folder",
        required=True,
        metavar="FOLDER",
        help="a new folder for copies and manifest",
    )
    add(
        "--data_root",
        metavar="FOLDER",
        help="corpus folder, {data_root} in the manifest",
    )
    add(
        "--seed",
        type=number_from(0),
        default=0,
        metavar="N",
        help="draws noise, talkers and occluded frames (default: %(default)s)",
    )
    add_num_workers(parser)
    return _corrupt


def _corrupt(options):
    from auxformer_lobes.dataio.corruption import corrupt_media
    from auxformer_lobes.reporting.tables import count_of

    report = corrupt_media(
        options.manifest,
        options.kind,
        options.severity,
        options.output_folder,
        options.data_root,
        options.seed,
        options.num_workers,
    )
    for clip, reason in report.failed.items():
        print(printable(f"failed: {clip}: {reason}"))
    print(
        f"{options.kind} {options.severity:g}: "
        f"{count_of(len(report.measured) - report.present, 'clip')} written, "
        f"{report.present:,} present before, {len(report.failed):,} failed"
    )
    if report.unchanged:
        print(f"unchanged, without this modality: {len(report.unchanged):,}")
    if not report.measured:
        return 1
    _print_measured([*report.measured.values()])
    print(f"manifest: {report.manifest}")
    # The stores of a run hold a clip once: its features would be replaced.
    print(
        f"evaluate it: auxformer evaluate RUN --manifest {report.manifest} "
        f"--data_root {options.data_root or '/'} "
        f"--feature_folder {report.manifest.parent / 'features'}"
    )
    return 0


def _print_measured(measured):
    """Prints what was measured in the copies, if anything."""
    ratios = [clip["snr"] for clip in measured if "snr" in clip]
    if ratios:
        print(
            f"measured: {min(ratios):.2f} to {max(ratios):.2f} dB, where there "
            "is speech"
        )
    total = {
        name: sum(clip.get(name, 0) for clip in measured)
        for name in ("frames", "occluded", "without_face")
    }
    if "occluded" in measured[0]:
        share = total["occluded"] / total["frames"]
        print(
            f"measured: {share:.1%} of {total['frames']:,} frames occluded; "
            f"{total['without_face']:,} more have no face, and stay as they are"
        )

"""`compare`: systems of a study, or runs."""


def compare(parser):
    """Compares the systems of a study, or runs, clip by clip.

    Prints the mean of each system over its cells, and for each pair the
    difference with its interval over speakers, a permutation test over
    speakers (Holm's correction over the table), and one sentence.
    """
    parser.epilog = (
        "example: auxformer compare results/study --condition audio_only"
    )
    add = parser.add_argument
    add(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a study of `auxformer experiment`, or output folders of runs; "
        "the first one's linear baseline is compared too",
    )
    add(
        "--reference",
        metavar="NAME",
        help="compare this system with all others (default: the first); all: "
        "each pair",
    )
    add(
        "--condition",
        metavar="NAME",
        help="condition of the test (default: the first)",
    )
    add(
        "--metric",
        metavar="NAME",
        help="metric of the task (default: the first)",
    )
    return _compare


def _compare(options):
    from auxformer_lobes.experiments.results import (
        Results,
        cells_at,
        show_results,
    )

    show_results(
        Results(cells_at(options.paths)),
        options.condition,
        options.metric,
        options.reference,
    )

"""`experiment`: a recipe under varied settings."""

from auxformer_lobes.cli.options import number_from


def experiment(parser):
    """Runs a recipe under all combinations of settings, and compares them.

    Each combination is a cell: a run in its own folder. The corpus is prepared
    and the features are extracted once. Options that are not listed here go to
    the recipe. Cells that are finished are skipped: started again, the command
    goes on; with more values, the study grows.
    """
    parser.epilog = (
        "example: auxformer experiment train.py hparams/auxformer.yaml \\\n"
        "  --data_folder /path/to/CREMA-D --vary partition=1,2,3,4,5 \\\n"
        "  --vary seed=0,1,2 --vary network=auxformer,mult \\\n"
        "  --output_folder results/study --jobs 2"
    )
    add = parser.add_argument
    add("script", metavar="SCRIPT", help="train.py of a recipe")
    add("hparams", metavar="YAML", help="its hyperparameters")
    add(
        "--vary",
        action="append",
        required=True,
        metavar="KEY=VALUE,VALUE",
        help="values of a key of YAML, once for each key",
    )
    add(
        "--output_folder",
        required=True,
        metavar="FOLDER",
        help="the study: a run folder for each cell, study.json, report.html",
    )
    add(
        "--jobs",
        type=number_from(1),
        metavar="N",
        help="cells at once, which share cores and GPUs (default: 1; with "
        "--slurm, all)",
    )
    add(
        "--launcher",
        metavar="COMMAND",
        help="in place of `python`: 'torchrun --standalone --nproc_per_node=2'",
    )
    add(
        "--slurm",
        metavar="OPTIONS",
        help="submit to Slurm: '{partition: gpu, timeout_min: 600}'; needs the "
        "extra `slurm`",
    )
    add("--dry_run", action="store_true", help="list the cells only")
    add(
        "--print_commands",
        action="store_true",
        help="print the command of each cell that is not finished, for any "
        "scheduler",
    )
    parser.set_defaults(others=[])
    return _experiment


def _experiment(options):
    from auxformer_lobes.experiments.experiment import plan_study, run_study
    from auxformer_lobes.experiments.grid import shell

    study, grid = plan_study(
        options.script,
        options.hparams,
        options.others,
        options.vary,
        options.output_folder,
        options.launcher,
    )
    if options.dry_run:
        grid.check()
        for cell in grid.cells:
            print(f"{grid.state(cell):<9} {cell.name}")
    elif options.print_commands:
        grid.check()
        # So that the cells can be collected, wherever they run.
        study.write(grid.plan)
        for cell in grid.cells:
            if cell.state != "finished":
                print(shell(grid.command(cell)))
    else:
        return run_study(study, grid, options.jobs, options.slurm)

def show_results(study):
    print([c.state for c in study.cells()])

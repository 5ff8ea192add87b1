"""The review page: one self-contained HTML file with the results of a run."""

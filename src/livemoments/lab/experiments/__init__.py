"""Do the paper's experiments: tables, ablations, safety, the study with people."""

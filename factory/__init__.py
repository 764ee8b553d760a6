"""What is made: problems, traces, verdicts, picks, datasets, students. Imports `verifiers`, never `flows`."""

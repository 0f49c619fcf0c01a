"""The merchant's page: figures with their intervals and coverage, served from this machine and nothing else."""

"""Who does the work of a run: this process, others on this machine, or Ray actors."""

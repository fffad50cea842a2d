"""Where a job runs: in this process, in another virtual environment, in a container. The result is the same."""

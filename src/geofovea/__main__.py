"""``python -m geofovea``: the command line."""

from geofovea.pipeline.cli import main

if __name__ == "__main__":
    main(prog_name="python -m geofovea")

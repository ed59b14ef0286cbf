"""The command line: ``geofovea VERB``, a module a verb."""

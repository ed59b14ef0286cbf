"""Joins the rooms: hosts, ask, training, measuring, the command line. Nothing imports it."""

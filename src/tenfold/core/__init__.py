"""Errors, records, settings, run folder and registry: what every other layer stands on."""

"""Generators of committed files: CRD, reference, chart schema, preset pages. Not used at run time."""

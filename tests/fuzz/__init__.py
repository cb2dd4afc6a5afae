"""Inputs that nobody would send in good faith, by the million: see `targets` and `campaign`."""

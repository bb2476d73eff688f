"""Recipes that are run from a checkout: they train, they never ship."""

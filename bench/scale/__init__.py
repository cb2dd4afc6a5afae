"""An index of any size made without a single file, and what C-FIND takes on it."""

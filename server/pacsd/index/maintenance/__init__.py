"""What is checked at the start and done beside serving: promises, progress, extra keys, headers read anew."""

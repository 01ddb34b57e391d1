"""Plans of a training: from a budget to arguments, by every law at once."""

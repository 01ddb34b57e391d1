"""The only place where methods meet: one method's result is the next one's input."""

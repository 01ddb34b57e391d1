"""Laws fitted to runs: of the loss, of the best batch and learning rate; with intervals, and what was left out."""

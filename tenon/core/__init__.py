"""What every method stands on: errors, configs, seeds, runs, reports, timing, models. Knows no method and no task."""

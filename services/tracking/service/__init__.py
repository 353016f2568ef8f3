"""The use cases of tracking; what a search, a ranking and a statistic mean."""

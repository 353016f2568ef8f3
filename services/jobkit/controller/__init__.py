"""HTTP: jobs as they are shown."""

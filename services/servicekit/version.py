"""The version of the suite, one for all services."""

VERSION = "0.1.0"

"""Wire types and vocabulary that two services share; no logic."""

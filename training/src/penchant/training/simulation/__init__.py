"""A generator of realistic event logs, with the truth kept beside them."""

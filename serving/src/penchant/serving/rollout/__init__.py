"""Rollout: the registry's aliases are the desired state, the model repository follows them."""
